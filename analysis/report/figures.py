"""Figures of the page: inline SVG while there is room, otherwise only the name of the file."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from markupsafe import Markup

from analysis.report import alt
from analysis.runs.study import FIGURES, words
from analysis.studies.assemble import Section
from analysis.studies.figures import panels, style
from analysis.studies.grids import plain

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"

ET.register_namespace("", SVG)
ET.register_namespace("xlink", XLINK)

LEFT_OUT = {f"{{{SVG}}}metadata", f"{{{SVG}}}style", f"{{{SVG}}}script"}
"""Elements removed from figures: Matplotlib's style would apply to the whole page; templates/report.css replaces it."""

COLOURS = {
    **{"#000000": "ink", style.GREY: "soft", style.GRID: "hair", "#ffffff": "paper", style.BLUE: "blue"},
    **{style.VERMILLION: "vermillion", style.GREEN: "green", style.ORANGE: "orange"},
    **{style.PURPLE: "purple", style.SKY: "sky"},
}
"""Variables of templates/report.css that stand for the colours of figures, so that those follow the page's scheme."""

WORDS = {
    "change_by_axis": (
        "Change of error against {axis}",
        "{label} as changes against its first column, ours and the paper’s on one scale.",
    ),
    "error_by_axis": ("Error against {axis}", "{label} as lines."),
    "gain": ("What {study} gains", "{label}’s last column: does {word} take anything off the error?"),
    "error_by_cell": ("Error by network", "{label}, a row for each network."),
    "error_by_macs": ("Error against cost", "What the errors cost; a ring is a step that noise does not explain."),
}
"""Title and caption by figure."""

CURVES = "Whether training had ended: a line still falling means a budget too short to settle much."


GLYPH = re.compile(r'<path id="(DejaVu[^"]*)"[^>]*/>')
"""The outline of a letter. They are a third of a figure, so all figures of a page share them: `share_letters`."""


@dataclass(frozen=True)
class Picture:
    """A figure for wide and for narrow screens; where `wide` is None, `why` says where it is instead."""

    title: str
    caption: str
    path: str
    wide: Markup | None
    narrow: Markup | None
    why: str


def pictures(results: Path, folder: str, rows: pd.DataFrame, sections: Sequence[Section], room: int) -> list[Picture]:
    """Figures of the protocol of the runs `rows`, in `folder` of the results, in no more than `room` bytes."""
    found = []
    apart = str(rows["protocol"].iloc[0])
    for name, *said in _shown(rows, sections):
        said[0] += f" ({apart})" if apart else ""
        prefix = f"{name}-{plain(rows['protocol_id'].iloc[0])}"
        found.append(picture(results, f"{folder}/{name}", prefix, (said[0], said[1], said[2]), room))
        room -= _size(found[-1].wide) + _size(found[-1].narrow)
    return found


def picture(results: Path, path: str, prefix: str, words: tuple[str, str, str], room: int) -> Picture:
    """The figure drawn as `path`.svg and `path`-column.svg, in no more than `room` bytes.

    prefix: of the ids in it; words: title, caption, and what it shows for who cannot see it.
    """
    title, caption, text = words
    wide = inline(results / f"{path}.svg", prefix, title, text)
    narrow = inline(results / f"{path}-column.svg", f"{prefix}-column", title, text)
    why = "" if wide else f"{path}.svg cannot be read; make tables draws it anew."
    if _size(wide) + _size(narrow) > room:
        narrow = None
    if _size(wide) > room:
        wide, why = None, f"Left out to keep this page small; see {path}.svg."
    return Picture(title, caption, f"{path}.svg", wide, narrow, why)


def share_letters(page: str) -> str:
    """A page with the outline of each letter once, for all its figures."""
    outlines = {found[1]: found[0] for found in GLYPH.finditer(page)}
    drawn = "".join(outlines[name] for name in sorted(outlines))
    shared = f'<svg class="glyphs" width="0" height="0" aria-hidden="true"><defs>{drawn}</defs></svg>\n'
    return GLYPH.sub("", page).replace("<body>\n", f"<body>\n{shared}", 1) if outlines else page


def _size(svg: Markup | None) -> int:
    """Characters that a figure takes on a page, without letters."""
    return len(GLYPH.sub("", svg or ""))


def _shown(rows: pd.DataFrame, sections: Sequence[Section]) -> list[tuple[str, str, str, str]]:
    """Name of file, title, caption and words of each figure, in order: what is gained stands before what it costs."""
    shown = []
    for name in FIGURES:
        for section in (section for section in sections if name in section.of.figures):
            study = section.of
            known = {"axis": words(panels.x_axis(study)), "study": panels.lower(study.title), "label": study.label}
            title, caption = (text.format(**known, word=study.gain.word if study.gain else "") for text in WORDS[name])
            text = getattr(alt, name)(section)
            shown.append((study.figures[name], title, study.captions.get(name) or caption, text))
    if any(section.of.built_in for section in sections):
        shown.append(("curves", "Training curves", CURVES, alt.curves(rows[rows["structure"] == "shufflenet"])))
    others = [section for section in sections if not section.of.built_in]
    return shown + [
        (s.of.curves, f"Training curves: {panels.lower(s.of.title)}", CURVES, alt.curves(s.runs, "cell"))
        for s in others
    ]


def inline(path: Path, prefix: str, title: str, description: str) -> Markup | None:
    """An SVG file as an element with role img, ids made unique by `prefix` but for letters'; None if it is no SVG."""
    try:
        root = ET.fromstring(path.read_bytes())
    except (OSError, ET.ParseError):
        return None
    for parent in list(root.iter()):
        for child in [child for child in parent if child.tag in LEFT_OUT]:
            parent.remove(child)
    for element in root.iter():
        for name, value in element.attrib.items():
            element.attrib[name] = _coloured(value) if name == "style" else _prefixed(name, value, prefix)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    named = {f"{prefix}-title": (f"{{{SVG}}}title", title), f"{prefix}-text": (f"{{{SVG}}}desc", description)}
    for place, (name, (tag, text)) in enumerate(named.items()):
        note = ET.Element(tag, {"id": name})
        note.text = text
        root.insert(place, note)
    root.attrib.update({"role": "img", "aria-labelledby": f"{prefix}-title", "aria-describedby": f"{prefix}-text"})
    return Markup(re.sub(r"\s*\n\s*", "\n", ET.tostring(root, encoding="unicode")))


def _coloured(css: str) -> str:
    """The style of an element with the page's variables as colours."""
    names = {colour.lower(): f"var(--{name})" for colour, name in COLOURS.items()}
    return re.sub(r"#[0-9a-f]{6}\b", lambda found: names.get(found[0], found[0]), css)


def _prefixed(name: str, value: str, prefix: str) -> str:
    """An attribute whose id, or reference to one, carries the prefix; outlines of letters are the same in all."""
    if value.removeprefix("#").startswith("DejaVu"):
        return value
    if name == "id":
        return f"{prefix}-{value}"
    if name.endswith("href") and value.startswith("#"):
        return f"#{prefix}-{value[1:]}"
    return re.sub(r"url\(#", f"url(#{prefix}-", value)
