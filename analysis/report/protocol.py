"""Content of one protocol's section, in the order of the template protocol.html.j2."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
from markupsafe import Markup

from ablations.core.text import are, counted
from ablations.core.verdict_summary import summary
from ablations.store import run_folder
from ablations.store.plans import Plan
from analysis import paper
from analysis.claims.verdict import VERDICTS
from analysis.report import drilldown, missing, scope
from analysis.report.drilldown import CellOrigin
from analysis.report.figures import pictures
from analysis.report.folds import cell_fold, describe, gain_fold
from analysis.report.verdict_lines import SIGNS, groups
from analysis.runs.study import Study
from analysis.stats.signal import CellMean, signal_and_noise
from analysis.studies import grids, notes
from analysis.studies.assemble import Section, combined
from analysis.studies.latex import latex
from analysis.studies.render import linked_table


@dataclass(frozen=True)
class Table:
    """A table of the page; `html` is empty where there is nothing to show but its notes.

    `copies`: the table in other forms, to be copied, each after the name of the form.
    """

    name: str
    title: str
    html: Markup
    notes: tuple[str, ...]
    copies: tuple[tuple[str, str], ...] = ()


def view(
    results: Path,
    name: str,
    folder: str,
    rows: pd.DataFrame,
    sections: Sequence[Section],
    complexity: pd.DataFrame | None,
    plans: Sequence[Plan],
    room: int,
    studies: Sequence[Study],
    apart: frozenset[str],
) -> SimpleNamespace:
    """The section of a protocol: content of the template protocol.html.j2.

    Args:
        name: of its folder; folder: where its figures lie in `results`.
        rows: its runs, of frame.runs; sections: its tables, at most one a study; there is one.
        complexity: Table 1, for the section that shows it.
        plans: of all protocols.
        studies: those that have a table here, or a sentence in its place.
        room: bytes that its figures may take; with none, neither are runs listed one by one, nor tables to be copied.
        apart: names of the lines of the recipe in which it differs from others on the page.
    """
    verdicts = [verdict for section in sections for verdict in section.verdicts]
    protocol_id = str(rows["protocol_id"].iloc[0])
    cells = drilldown.cells(results, sections)
    gains = [gain for section in sections for gain in drilldown.gains(section, cells)]
    mine = [plan for plan in plans if protocol_id in (plan.protocol_id, plan.scope_id)]
    listed = [cell for cell in cells if cell.runs]
    return SimpleNamespace(
        id=name,
        protocol_id=protocol_id,
        name=str(rows["protocol"].iloc[0]),
        title=notes.title(rows),
        scope=scope.main(rows, sections),
        recipe=scope.whole(rows),
        apart=apart,
        alerts=[*_alerts(rows, cells), *_others(results, rows)],
        tally=[  # word, sign, class of CSS, count
            (word, SIGNS[word], word.replace(" ", "-"), count)
            for word in VERDICTS
            if (count := sum(verdict.verdict == word for verdict in verdicts))
        ],
        summary=summary([{"verdict": one.verdict, "size": one.size} for one in verdicts]),
        verdicts_title=f"Do the {'paper’s ' if any(study.published for study in studies) else ''}claims hold here?",
        reach=_reach(rows),
        remarks=[text for section in sections for text in _remarks(section)],
        verdicts=groups(
            verdicts, {cell.cell_id: cell.anchor for cell in listed}, {s.study: s.of.title for s in sections}
        ),
        tables_title=_tables_title(studies),
        tables=_tables(studies, sections, bool(room)),
        figures=pictures(results, folder, rows, sections, room),
        complexity=_complexity(sections, complexity),
        question=drilldown.question(sections[0]),
        folds=[cell_fold(cell, bool(room)) for cell in listed] + [gain_fold(gain, bool(room)) for gain in gains],
        failed=missing.failed(results, rows, [axis for section in sections for axis in section.of.axes]),
        waiting=missing.waiting(rows, sections),
        environment=describe(rows, [run for cell in cells for run in cell.runs], mine),
    )


def _alerts(rows: pd.DataFrame, cells: Sequence[CellOrigin]) -> list[str]:
    """Warnings above all numbers: missing runs, images left out, runs that should not be pooled."""
    text = []
    done = int((rows["state"] == "done").sum())
    if done < len(rows):
        states = rows.loc[rows["state"] != "done", "state"].replace("planned", "not run").value_counts().sort_index()
        listed = ", ".join(f"{count:,} {state}" for state, count in states.items())
        text.append(
            f"Partial results: {done:,} of {counted(len(rows), 'run')} {are(len(rows))} done ({listed}). What is "
            "missing is said below; verdicts may change with it."
        )
    text = [*notes.on_preset(rows), *text, *notes.on_left_out(rows)]
    mixed = sum(bool(cell.warnings) for cell in cells)
    if mixed:
        text.append(
            f"{mixed} {'cell has' if mixed == 1 else 'cells have'} runs whose origin needs a look (commit, versions, "
            "device or uncommitted changes): marked “warning” under Where the numbers come from."
        )
    return text


def _others(results: Path, rows: pd.DataFrame) -> list[str]:
    """How many runs have another outcome beside the one that counts (`make merge KEEP=`)."""
    names = [name for name in run_folder.aside(results, kind=run_folder.OTHER) if name[:16] in {*rows["run_id"]}]
    if not names:
        return []
    count = len({name[:16] for name in names})
    return [
        f"{count} {'run has' if count == 1 else 'runs have'} another outcome, kept beside the one that counts: runs/"
        f"{names[0]}{' and so on' if len(names) > 1 else ''}."
    ]


def _reach(rows: pd.DataFrame) -> str:
    """To what the verdicts apply."""
    first = rows.iloc[0]
    if paper.is_its_data(first["data"], first["resolution"]):
        return "Data and resolution are the paper’s; its diamonds may be set against the effects here."
    return (
        "These verdicts hold for the data and training above. The paper’s effects (diamonds) are ImageNet’s, at its "
        "own budget: what does not hold here may hold there."
    )


def _remarks(section: Section) -> list[str]:
    """How often a study's verdicts were read, and whether its cells can be told apart with such data and budget."""
    axes = [axis for axis in section.of.pool if axis != "structure" or "structure" not in section.of.axes]
    found = signal_and_noise(
        CellMean(tuple(row.get(axis) for axis in axes), row["error_mean"], row["seeds_done"], row["sd"], row["df"])
        for row in section.cells.to_dict("records")
    )
    looks = [f"{section.of.title}: {text}" for text in section.looks]
    return [*looks, notes.on_signal(found, section.of)] if found else looks


def _tables_title(studies: Sequence[Study]) -> str:
    """`Tables 2 and 3, beside the paper’s`."""
    beside = ", beside the paper’s" if any(study.published for study in studies) else ""
    return f"{drilldown.tables([study.label for study in studies])}{beside}"


def _tables(studies: Sequence[Study], sections: Sequence[Section], in_full: bool) -> list[Table]:
    """A table for each study; a note that stands below one is not said again below the next."""
    said: set[str] = set()
    found, of = [], {section.study: section for section in sections}
    for study in studies:
        one = _table(study, of.get(study.name), in_full)
        found.append(replace(one, notes=tuple(note for note in one.notes if note not in said)))
        said.update(one.notes)
    return found


def _table(study: Study, section: Section | None, in_full: bool) -> Table:
    """The table of a study, or a sentence in its place."""
    if section is None:
        sentence = (
            f"Not part of this protocol: the {study.name} study was not planned under it, and no run belongs to it "
            "alone."
        )
        return Table(study.name, study.heading, Markup(""), (sentence,))
    text = [study.gain.sign] if study.gain else []
    text += notes.on_intervals(study, section.cells, section.gains)
    text += [grids.PAPER] if study.built_in else []
    grid = grids.pivot(section)
    copies = (("LaTeX", latex(study.title, [grid])), ("CSV", combined([section], "cells").to_csv(index=False)))
    return Table(
        study.name,
        study.heading + (f" ({section.protocol})" if section.protocol else ""),
        linked_table(grid, 1 if study.gain else 2),
        tuple(text),
        copies if in_full else (),
    )


def _complexity(sections: Sequence[Section], table1: pd.DataFrame | None) -> list[Table]:
    """As trained where that is known, after Table 1 where this section shows it."""
    shown = []
    if table1 is not None:
        grid = grids.complexity_grid(table1)
        shown.append(Table("complexity", grid.title, linked_table(grid, 2), grid.notes))
    trained = [section for section in sections if not section.of.built_in]
    papers = [section for section in sections if section.of.built_in]
    if papers:
        cells = pd.concat([section.cells for section in papers])
        distinct = cells.drop_duplicates(["structure", "width", "groups", "stem_channels"])
        order = distinct.sort_values(["structure", "width", "groups"], ascending=[False, False, True])
        trained.insert(0, replace(papers[0], cells=order))
    note = "Multiply-adds of one image in millions; below them parameters."
    as_trained = grids.trained_grids(trained)
    return shown + [Table("complexity", "As trained", linked_table(grid, 1), (note,)) for grid in as_trained]
