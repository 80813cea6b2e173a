"""The whole page: a section for each protocol, the one planned last first, within a size."""

from collections.abc import Sequence
from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup

from ablations.core.files import encode_text
from ablations.store.plans import read_plans
from analysis import paper
from analysis.report import latency
from analysis.report.protocol import ProtocolView, view
from analysis.runs import files
from analysis.studies import assemble, claims_table, gains, notes, selection
from analysis.studies.assemble import Section

TEMPLATES = Path(__file__).with_name("templates")

SIZE = 2_900_000
"""Bytes that the page's sections may take: the page stays under 3 MB."""

FIGURES = 2_000_000
"""Bytes after which figures are named and no longer shown."""

HOW = (
    ("Error", "Top-1 error in percent at the last epoch, never at the best one, averaged over seeds."),
    ("Intervals", f"{notes.ON_SEEDS} {notes.ON_EXAMPLES} Where n allows no interval, none is drawn."),
    ("Gains", gains.RULE),
    ("Claims", "Each is a contrast of cells with a margin, set in analysis/claims.yaml and not by the results."),
    ("Effects", "In points of error, or Kendall’s τ; the interval is the effect’s own; the paper’s: of its numbers."),
    ("Verdicts", claims_table.HOW[1]),
    ("Complexity", "Multiply-adds of convolutions and the fully connected layer: what the paper calls FLOPs."),
    ("Protocols", "Runs that differ in more than network and seed share no table: each protocol has a section."),
    ("The paper", f"arXiv 1707.01083, {paper.SCOPE}. It gives no seeds and no intervals."),
    ("This page", "make report writes it; the same results give the same bytes. It loads nothing and has no script."),
)
"""Terms and what they mean here."""


def write(
    results: Path,
    runs: pd.DataFrame,
    groups: Sequence[Section],
    shuffle: Sequence[Section],
    room: int | None = None,
) -> Path:
    """Write results/report.html, after the figures that it shows.

    Args:
        runs: what frame.runs gives for the folder `results`; groups, shuffle: what assemble.sections makes of it.
        room: bytes that figures may take, FIGURES where it is not said.
    """
    return files.write(results / files.REPORT, page(results, runs, groups, shuffle, room))


def page(
    results: Path,
    runs: pd.DataFrame,
    groups: Sequence[Section],
    shuffle: Sequence[Section],
    room: int | None = None,
) -> str:
    """The page as text; nothing in it depends on when, where or from which folder it is made."""
    known, plans = selection.known(runs), read_plans(results)
    figures = FIGURES if room is None else room
    template = _environment().get_template("protocol.html.j2")
    views: list[ProtocolView] = []
    parts: list[Markup] = []
    left_out: list[tuple[str, str]] = []
    timing = _timing(results, figures)
    size = len(encode_text(timing))
    for place, protocol_id in enumerate(selection.protocols(known)):
        rows = known[known["protocol_id"] == protocol_id]
        sections = [section for section in (*groups, *shuffle) if section.protocol_id == protocol_id]
        complexity = assemble.table1(results) if place == 0 else None
        folder = f"figures/{protocol_id}" if place else "figures"
        for space in (figures - size, 0) if not left_out else ():
            shown = view(results, folder, rows, sections, complexity, plans, space)
            part = Markup(template.render(view=shown))
            if size + len(encode_text(part)) <= SIZE:
                size += len(encode_text(part))
                views.append(shown)
                parts.append(part)
                break
        else:
            left_out.append((notes.title(rows), protocol_id))
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            title=views[0].title if views else "too large to show",
            paper=paper.TITLE,
            views=views,
            parts=parts,
            timing=timing,
            left_out=left_out,
            orphans=notes.orphans(runs),
            how=HOW,
        )
    )


def _timing(results: Path, room: int) -> Markup:
    """The section on inference time, its figure in no more than `room` bytes; nothing where none was measured."""
    shown = latency.view(results, room)
    return Markup(_environment().get_template("latency.html.j2").render(view=shown) if shown else "")


def _environment() -> jinja2.Environment:
    """Templates that escape whatever they are given, and fail on a name that is not there."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
