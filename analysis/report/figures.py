"""Figures of the page: inline SVG while there is room, otherwise only the name of the file."""

import hashlib
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
from analysis.studies.figures.svg import SVG

NAMED = {
    **{"#000000": "ink", style.GREY: "soft", style.GRID: "hair", "#ffffff": "paper", style.BLUE: "blue"},
    **{style.VERMILLION: "vermillion", style.GREEN: "green", style.ORANGE: "orange"},
    **{style.PURPLE: "purple", style.SKY: "sky"},
}
COLOURS = {colour.lower(): f"var(--{name})" for colour, name in NAMED.items()}
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


@dataclass(frozen=True)
class Picture:
    """A figure for wide and for narrow screens; where `wide` is empty, `why` says where it is instead."""

    title: str
    caption: str
    path: str
    wide: Markup
    narrow: Markup
    why: str


def pictures(results: Path, folder: str, rows: pd.DataFrame, sections: Sequence[Section], room: int) -> list[Picture]:
    """Figures of the protocol of the runs `rows`, in `folder` of the results, in no more than `room` bytes."""
    found = []
    apart = f" ({name})" if (name := str(rows["protocol"].iloc[0])) else ""
    for file, title, caption, text in _shown(rows, sections):
        found.append(picture(results, f"{folder}/{file}", (f"{title}{apart}", caption, text), room))
        room -= len(found[-1].wide) + len(found[-1].narrow)
    return found


def picture(results: Path, path: str, words: tuple[str, str, str], room: int) -> Picture:
    """The figure drawn as `path`.svg and `path`-column.svg, in no more than `room` bytes.

    words: title, caption, and what it shows for who cannot see it.
    """
    title, caption, text = words
    wide, narrow = (_inline(results, f"{path}{end}.svg", title, text) for end in ("", "-column"))
    why = "" if wide else f"{path}.svg cannot be read; make tables draws it anew."
    if len(wide) + len(narrow) > room:
        narrow = Markup()
    if len(wide) > room:
        wide, why = Markup(), f"Left out to keep this page small; see {path}.svg."
    return Picture(title, caption, f"{path}.svg", wide, narrow, why)


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
    return shown + [
        (s.of.curves, f"Training curves: {panels.lower(s.of.title)}", CURVES, alt.curves(s.runs, "cell"))
        for s in sections
        if not s.of.built_in
    ]


def _inline(results: Path, path: str, title: str, description: str) -> Markup:
    """An SVG file of `style.svg` as an element with role img, its ids unique within a page; empty if it is no SVG."""
    try:
        root = ET.fromstring((results / path).read_bytes())
    except (OSError, ET.ParseError):
        return Markup()
    prefix = f"f{hashlib.sha256(path.encode()).hexdigest()[:6]}-"
    for element in root.iter():
        for name, value in element.items():
            element.set(name, prefix + value if name == "id" else re.sub(r"^#|(?<=\(#)", rf"\g<0>{prefix}", value))
        if css := element.get("style"):
            element.set("style", re.sub("#[0-9a-f]{6}", lambda found: COLOURS.get(found[0], found[0]), css))
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    for tag, text in (("desc", description), ("title", title)):
        root.insert(0, ET.Element(f"{{{SVG}}}{tag}", {"id": prefix + tag}))
        root[0].text = text
    root.attrib |= {"role": "img", "aria-labelledby": f"{prefix}title", "aria-describedby": f"{prefix}desc"}
    return Markup(ET.tostring(root, encoding="unicode"))
