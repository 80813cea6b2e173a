"""How figures look and are saved: colour-blind safe, legible in one column, the same bytes for the same data."""

import io
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from analysis.studies.figures.svg import slim

COLUMN = 3.4
"""Width of a figure in one column of a paper, in inches."""

WIDE = 7.0
"""Width across both columns, in inches."""

BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9"
"""Okabe and Ito's palette, which readers with any colour vision tell apart; markers tell it all a second time."""

GREY, GRID = "#555555", "#e6e6e6"

LINES = {1.0: (BLUE, "o"), 0.5: (VERMILLION, "s"), 0.25: (GREEN, "^")}
"""Colour and marker of the paper's widths; others take OTHERS in turn."""

OTHERS = ((ORANGE, "D"), (PURPLE, "v"), (SKY, "P"))

GROUP_MARKERS = {1: "o", 2: "s", 3: "^", 4: "D", 8: "v"}

RULES: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 7.5,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "legend.columnspacing": 1.2,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.3,
    "lines.markersize": 4,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "svg.hashsalt": "shufflenet-ablations",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "axes.unicode_minus": True,
}


@contextmanager
def style() -> Iterator[None]:
    """Matplotlib's defaults with RULES on top, whatever the user's own settings are; restored afterwards."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RULES)
        yield


def figure(width: float, height: float, title: str, subtitle: str) -> Figure:
    """An empty figure of `width` x `height` inches, title and wrapped subtitle on top, room below them kept for axes.

    Call it within `style`.
    """
    fig = Figure(figsize=(width, height))
    # Mean width of this font's characters, bold and not, in em, with a little left over.
    heads = textwrap.wrap(title, int(width * 72 / (9 * 0.66)))
    lines = textwrap.wrap(subtitle.replace(" %", "\u00a0%"), int(width * 72 / (6.5 * 0.57)))
    top = height - 0.05
    for text, size, weight, colour in ((heads, 9, "bold", "black"), (lines, 6.5, "normal", GREY)):
        for line in text:
            fig.text(0.06 / width, top / height, line, size=size, weight=weight, color=colour, va="top", ha="left")
            top -= size * 1.3 / 72
    fig.set_layout_engine("constrained", rect=(0, 0, 1, (top - 0.04) / height))
    return fig


def svg(fig: Figure) -> bytes:
    """A figure as SVG, text as text: the same data give the same bytes."""
    return slim(_save(fig, "svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))))


def png(fig: Figure) -> bytes:
    """A figure as PNG at 200 dots per inch: the same data give the same bytes with one version of matplotlib."""
    return _save(fig, "png", dpi=200, metadata={"Software": None})


def _save(fig: Figure, kind: str, **settings: Any) -> bytes:
    buffer = io.BytesIO()
    with style():
        fig.savefig(buffer, format=kind, **settings)
        fig.set_layout_engine("none")  # laid out now: saved again in another form, it need not be anew
    return buffer.getvalue()
