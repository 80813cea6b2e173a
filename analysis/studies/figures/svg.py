"""A figure as SVG in a quarter of the bytes that Matplotlib writes, its text as text, which can be found and read."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator

SVG = "http://www.w3.org/2000/svg"

ROOT = {"font-family": "DejaVu Sans, Verdana, sans-serif", "stroke-linejoin": "round"}
"""What all of a figure inherits. It is laid out in the first font; Verdana is as wide, other usual fonts narrower."""

ET.register_namespace("", SVG)


def slim(drawn: bytes) -> bytes:
    """What Matplotlib wrote, less its style sheet, unused ids, groups without effect, repeated styles, long numbers."""
    drawn = re.sub(rb"<defs>\s*<style.*?</defs>", b"", drawn, flags=re.DOTALL).replace(b"xlink:href=", b"href=")
    for k, name in enumerate(dict.fromkeys(re.findall(rb'(?:href="|url\()#([^")]+)', drawn))):
        drawn = drawn.replace(name, b"i%d" % k)
    root = ET.fromstring(drawn)
    for element in root.iter():
        element.attrib = {name: short for name, value in element.items() if (short := _short(name, value))}
    styles = {f"#{element.get('id')}": element.get("style", "").split(";") for element in root.iter()}
    for use in root.iter(f"{{{SVG}}}use"):
        given, own = use.attrib.pop("style", "").split(";"), styles[use.attrib["href"]]
        use.attrib |= {"style": ";".join(rest)} if (rest := [part for part in given if part not in own]) else {}
    root[:] = _content(root)
    root.attrib |= ROOT
    ET.indent(root, "")
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _short(name: str, value: str) -> str:
    """An attribute to a hundredth of a point; empty where it has no effect."""
    if (name == "id" and not re.fullmatch(r"i\d+", value)) or value.startswith("rotate(-0 "):
        return ""
    if name == "style":
        value = re.sub(r"font-family: [^;]*(; )?", "", value).replace(": ", ":").replace("; ", ";")
    if name == "d":
        value = re.sub(r"\s*([A-Za-z]|$)\s*", r"\1", value)
    return re.sub(r"-?\d+\.\d+", lambda found: f"{round(float(found[0]), 2) + 0:.10g}", value)


def _content(parent: ET.Element) -> Iterator[ET.Element]:
    """The elements in it, and in place of groups without attributes what these have in them."""
    for child in parent:
        child[:] = _content(child)
        yield from child if child.tag == f"{{{SVG}}}g" and not child.attrib else [child]
