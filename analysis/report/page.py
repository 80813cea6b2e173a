"""results/report.html: a section for each protocol (the last planned first) and one on inference time."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from ablations.core.files import encode_text
from ablations.store.plans import read_plans
from analysis import paper
from analysis.latency import grids as latency_grids
from analysis.latency import sentences, times
from analysis.report import alt, scope
from analysis.report.figures import picture
from analysis.report.protocol import Table, view
from analysis.runs.cell import Cell
from analysis.runs.study import BUILT_IN, Study, study
from analysis.studies import assemble, claims_table, gains, notes, places, selection
from analysis.studies.assemble import Section
from analysis.studies.figures.panels import lower
from analysis.studies.grids import Grid, cell_anchor, error_text
from analysis.studies.render import linked_table

TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
"""Values are escaped, undefined names raise."""

SIZE = 2_900_000
"""Limit for all sections in bytes, which keeps the page under 3 MB."""

FIGURES = 2_000_000
"""Limit for all figures in bytes; further ones are only named."""

HOW = (
    ("Error", "Top-1 error in percent at the last epoch, never at the best one, averaged over seeds."),
    ("Intervals", f"{notes.ON_SEEDS} {notes.ON_EXAMPLES} Where n allows no interval, none is drawn."),
    ("Gains", gains.RULE),
    ("Claims", "Each is a contrast of cells with a margin, set in {claims} and not by the results."),
    (
        "Effects",
        "In points of error, nats of loss, or Kendall’s τ; the interval is the effect’s own; "
        "the paper’s: of its numbers.",
    ),
    ("Verdicts", claims_table.HOW[1]),
    ("Complexity", "Multiply-adds of convolutions and the fully connected layer: what the paper calls FLOPs."),
    ("Protocols", "Runs that differ in more than network and seed share no table: each protocol has a section."),
    ("The paper", f"arXiv 1707.01083, {paper.SCOPE}. It gives no seeds and no intervals."),
    ("This page", "make report writes it; the same results give the same bytes. It loads nothing and has no script."),
)
"""Terms and what they mean here; {claims} stands for the files of the claims."""

ACROSS = (
    "Top-1 error (%) with its interval, where two protocols or more have the cell. Each column has data and a recipe "
    "of its own: a difference between columns is no verdict."
)

LATENCY = (
    "Inference time against number of groups",
    "Lines below 1 are faster than one group; dashed lines are what multiply-adds promise.",
)
"""Title and caption of the figure of inference times."""


def page(results: Path, runs: pd.DataFrame, *tables: Sequence[Section], room: int | None = None) -> str:
    """The page as HTML, with the figures that lie in `results`. It depends on no time, machine or name of a folder.

    Args:
        runs: what frame.runs gives for the folder `results`; tables: sections of each study (assemble.sections).
        room: bytes that figures may take, FIGURES where it is not said.
    """
    known, plans = selection.known(runs), read_plans(results)
    files = dict.fromkeys(section.of.claims_file for table in tables for section in table)
    figures = FIGURES if room is None else room
    template = TEMPLATES.get_template("protocol.html.j2")
    views: list[SimpleNamespace] = []
    parts: list[Markup] = []
    left_out: list[tuple[str, str]] = []
    timing = _timing(results, figures)
    size = len(encode_text(timing))
    by_scope = assemble.sections_by_scope(tables)
    names = places.named(results, by_scope)
    where = places.places(names, list(by_scope))
    shown_ones = list(assemble.by_scope(known, tables))
    apart = _apart([rows for _, rows, _ in shown_ones])
    for place, (protocol_id, rows, sections) in enumerate(shown_ones):
        complexity = assemble.table1(results) if place == 0 else None
        name, folder = names.names[protocol_id], (Path("figures") / where[protocol_id][-1]).as_posix()
        for space in (figures - size, 0) if not left_out else ():
            shown = view(results, name, folder, rows, sections, complexity, plans, space, _studies(sections), apart)
            part = Markup(template.render(view=shown))
            if size + len(encode_text(part)) <= SIZE:
                size += len(encode_text(part))
                views.append(shown)
                parts.append(part)
                break
        else:
            left_out.append((notes.title(rows), name))
    return TEMPLATES.get_template("report.html.j2").render(
        title="; ".join(view.name or view.title for view in views) or "too large to show",
        across=_across([(rows, sections) for _, rows, sections in shown_ones]),
        paper=paper.TITLE,
        studies=_named(one for _, _, sections in shown_ones for one in _studies(sections)),
        views=views,
        parts=parts,
        timing=timing,
        left_out=left_out,
        orphans=notes.orphans(runs),
        how=[(term, text.replace("{claims}", " and ".join(files))) for term, text in HOW],
    )


def _across(protocols: Sequence[tuple[pd.DataFrame, Sequence[Section]]]) -> Table | None:
    """A row for each cell that is planned under several protocols, a column for each protocol; None without such cells.

    Args:
        protocols: runs and sections of each.
    """
    texts: dict[Cell, dict[int, str]] = {}
    anchors: dict[Cell, dict[int, str]] = {}
    for k, (_, sections) in enumerate(protocols, start=1):
        for section in sections:
            for _, row in section.cells[section.cells["seeds_planned"] > 0].iterrows():
                cell = section.of.cell(row)
                text, complete = error_text(row), row["seeds_done"] == row["seeds_planned"]
                texts.setdefault(cell, {})[k] = text.split("\n")[0] if complete else text
                anchors.setdefault(cell, {})[k] = cell_anchor(row)
    shared = [cell for cell, by_protocol in texts.items() if len(by_protocol) > 1]
    if not shared:
        return None
    heads = ["Cell", *(str(rows["protocol"].iloc[0]) or notes.title(rows) for rows, _ in protocols)]
    body = [[cell.name, *(texts[cell].get(k, "") for k in range(1, len(heads)))] for cell in shared]
    links = {(i, k): anchor for i, cell in enumerate(shared) for k, anchor in anchors[cell].items()}
    grid = Grid("across", "Protocols beside each other", pd.DataFrame(body, columns=heads), (ACROSS,), anchors=links)
    return Table(grid.name, grid.title, linked_table(grid, 1), grid.notes)


def _apart(rows: Sequence[pd.DataFrame]) -> frozenset[str]:
    """Names of the lines of recipes in which protocols differ."""
    recipes = [dict(scope.whole(mine)) for mine in rows]
    return frozenset(name for first in recipes[:1] for name in first if len({one.get(name) for one in recipes}) > 1)


def _named(studies: Iterable[Study]) -> str:
    """`Number of groups and channel shuffle`: what the page is about."""
    titles = list(dict.fromkeys(study.title for study in studies)) or ["Ablations"]
    return " and ".join([titles[0], *map(lower, titles[1:])])


def _studies(sections: Sequence[Section]) -> list[Study]:
    """The studies of a protocol; the paper's two go together."""
    mine = {section.study: section.of for section in sections}
    papers = BUILT_IN if {*BUILT_IN} & {*mine} else ()
    return [mine.get(name) or study(name) for name in (*papers, *(name for name in mine if name not in papers))]


def _timing(results: Path, room: int) -> Markup:
    """The section on inference time as HTML, with a figure of at most `room` bytes; empty if nothing was measured."""
    found = times.read_times(results)
    if found is None:
        return Markup("")
    content: dict[str, Any] = {"problem": found.problem}
    if not found.problem:
        shown = picture(results, "figures/latency", (*LATENCY, alt.latency(found.rows)), room)
        content["figure"] = shown if found.rows["ratio"].notna().any() else None
        content |= {"sentences": sentences.sentences(found.rows), "origin": sentences.origin(found.rows)}
        content["tables"] = [
            Table(grid.name, grid.title, linked_table(grid, 1 if grid.frame.columns.nlevels > 1 else 2), grid.notes)
            for grid in latency_grids.grids(found)
        ]
    return Markup(TEMPLATES.get_template("latency.html.j2").render(**content))
