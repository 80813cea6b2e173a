"""Figures on disk as pieces of a page: inline SVG with ids of its own and a description for who cannot see it."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

from markupsafe import Markup

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
LEFT_OUT = {f"{{{SVG}}}metadata", f"{{{SVG}}}style", f"{{{SVG}}}script"}
"""What a page has no use for. Matplotlib's style applies to all of a page; templates/report.css has it for figures."""

ET.register_namespace("", SVG)
ET.register_namespace("xlink", XLINK)


def inline(path: Path, prefix: str, title: str, description: str) -> Markup | None:
    """An SVG file as an element with role img, every id in it made unique by `prefix`; None where it cannot be read."""
    try:
        root = ET.fromstring(path.read_bytes())
    except (OSError, ET.ParseError):
        return None
    for parent in list(root.iter()):
        for child in [child for child in parent if child.tag in LEFT_OUT]:
            parent.remove(child)
    for element in root.iter():
        for name, value in element.attrib.items():
            element.attrib[name] = _prefixed(name, value, prefix)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    named = {f"{prefix}-title": (f"{{{SVG}}}title", title), f"{prefix}-text": (f"{{{SVG}}}desc", description)}
    for place, (name, (tag, text)) in enumerate(named.items()):
        note = ET.Element(tag, {"id": name})
        note.text = text
        root.insert(place, note)
    root.attrib.update({"role": "img", "aria-labelledby": f"{prefix}-title", "aria-describedby": f"{prefix}-text"})
    return Markup(re.sub(r"\s*\n\s*", "\n", ET.tostring(root, encoding="unicode")))


def _prefixed(name: str, value: str, prefix: str) -> str:
    """An attribute whose id, or reference to one, carries the prefix."""
    if name == "id":
        return f"{prefix}-{value}"
    if name.endswith("href") and value.startswith("#"):
        return f"#{prefix}-{value[1:]}"
    return re.sub(r"url\(#", f"url(#{prefix}-", value)
