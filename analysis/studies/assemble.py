"""The tables as data: complexity (Table 1), and Tables 2 and 3 with one section for each protocol."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from ablations.store.looks import Looks, read_looks
from analysis import paper
from analysis.claims import judge
from analysis.claims.parser import Claim, claims_of
from analysis.claims.verdict import Verdict
from analysis.runs.cell import Cell
from analysis.runs.macs import at_224, costs
from analysis.runs.study import Study
from analysis.runs.study import study as study_of
from analysis.stats.sample import Sample, sample
from analysis.studies import cells, gains, notes, selection
from model.widths import resolve_stem

TABLE_1_COLUMNS = (
    *("structure", "width", "groups", "conv_macs", "macs", "params", "paper_macs", "paper_table", "stem_channels"),
)
"""Columns of table1.csv; complexities are counts, not millions."""


@dataclass(frozen=True)
class Section:
    """A study under one protocol.

    Attributes:
        cells: one row per cell, columns cells.COLUMNS; the paper's grid is always whole.
        gains: the gain by cell, columns gains.COLUMNS; no rows where the study has none.
        of: the study. protocol_id: of the protocol, or of the scope of a study that varies a part of it.
        sample: errors of its runs by cell and seed.
        runs: the protocol's runs, as frame.runs gives them.
        title: data and training in a few words; scope: in full.
        protocol: what sets the protocol apart from the others in the folder; empty where there is one only.
        notes: sentences that belong under the table: what intervals mean, what is missing and why.
        verdicts: on the study's claims, in their order. looks: sentences on how often they were read.
    """

    study: str
    protocol_id: str
    title: str
    scope: str
    notes: tuple[str, ...]
    cells: pd.DataFrame
    gains: pd.DataFrame
    runs: pd.DataFrame
    of: Study
    sample: Sample
    verdicts: tuple[Verdict, ...] = ()
    protocol: str = ""
    looks: tuple[str, ...] = ()


def sections(
    study: str | Study,
    frame: pd.DataFrame,
    results: Path,
    claims: Sequence[Claim] | None = None,
    measure: bool = True,
    looks: Looks | None = None,
) -> list[Section]:
    """Sections of a study's table, the protocol that was planned last first; none where no run is known.

    Args:
        study: itself, or the name of one of the paper's: `groups` (Table 2), `shuffle` (Table 3).
        frame: what frame.runs gives for the folder `results`.
        claims: to judge by those of them that are of the study, and not by its own.
        measure: as for macs.costs.
        looks: at the studies of the folder; what its looks.json and its plans say where not given.

    Raises:
        UserError: a claim is malformed.
    """
    looks = looks or read_looks(results)
    one = study_of(study) if isinstance(study, str) else study
    known = selection.runs_of(one, selection.known(frame))
    asked = claims_of(one) if claims is None else [claim for claim in claims if claim.study == one.name]
    by = selection.scope(one)
    found: list[Section] = []
    for scope_id in selection.shown(one, known):
        rows = known[known[by] == scope_id]
        if one.elsewhere:
            rows = rows.assign(protocol_id=scope_id, protocol=notes.without(str(rows["protocol"].iloc[0]), one))
        keys = selection.keys(one, rows)
        drawn = sample(rows, results, one)
        table = cells.summarise(one, rows, keys, results, drawn, measure)
        gain = gains.summarise(one, rows, keys, drawn)
        mine = rows[rows["cell_id"].isin(table["cell_id"])]
        title, scope = notes.title(rows), notes.scope(rows, table)
        text = (*notes.on_preset(rows), *notes.on_intervals(one, table, gain), *notes.on_left_out(rows))
        text += (*notes.on_gaps(one, mine, table), *notes.on_origin(mine))
        text += tuple(notes.orphans(frame)) if not found else ()
        ids, seen = _ids(rows, drawn, one), looks.of(one.name, scope_id)
        judged = tuple(judge.verdicts(asked, drawn, scope, scope_id, ids, _stages(seen, drawn, ids)))
        apart = str(rows["protocol"].iloc[0])
        said = tuple(notes.on_looks(seen)) if asked else ()
        found.append(
            Section(one.name, scope_id, title, scope, text, table, gain, mine, one, drawn, judged, apart, said)
        )
    return found


def _stages(seen: Looks, drawn: Sample, ids: Mapping[Cell, str]) -> list[judge.Stage]:
    """The looks of a study's plan with their runs; before the first one hardly any of the level may be spent."""
    if seen.plan is None:
        return []
    if not seen.planned:
        return [judge.Stage(drawn, [1 / seen.plan.most])]
    shares = seen.plan.shares
    return [judge.Stage(drawn.only(ids, look.seeds), shares[: k + 1]) for k, look in enumerate(seen.planned)]


def _ids(rows: pd.DataFrame, drawn: Sample, study: Study) -> dict[Cell, str]:
    """cell_id of every cell that was planned or run."""
    return {
        drawn.ref(study.cell(row)): str(row["cell_id"]) for row in rows.drop_duplicates("cell_id").to_dict("records")
    }


def table1(results: Path, measure: bool = True) -> pd.DataFrame:
    """Complexity at 224x224 of every network that the paper prints one for, and of the blog variant at 1x.

    Columns: conv_macs (convolutions alone: what Table 1 rounds to), macs (with the fully connected layer), params,
    paper_macs and paper_table (what the paper prints, and where), stem_channels. At 1000 classes.
    """
    wanted = [("shufflenet", width, groups) for width in paper.WIDTHS for groups in paper.GROUPS]
    wanted[:0] = [("shufflenet", width, groups) for width, groups in paper.TABLE_5_COMPLEXITY]
    wanted += [("blog", 1.0, groups) for groups in paper.GROUPS]
    networks = [
        Cell.of({"structure": name, "width": w, "groups": g, "stem_channels": resolve_stem(g, w, "imagenet", None)})
        for name, w, g in wanted
    ]
    known = costs(results, map(at_224, networks), measure)
    rows = []
    for network in networks:
        cost, (printed, where) = known[at_224(network)], paper.complexity(network["width"], network["groups"])
        rows.append(
            {
                **dict(network.values),
                **{key: getattr(cost, key, None) for key in ("conv_macs", "macs", "params")},
                "paper_macs": printed,
                "paper_table": where,
            }
        )
    table = pd.DataFrame(rows, columns=list(TABLE_1_COLUMNS))
    whole = ["conv_macs", "macs", "params", "paper_macs"]
    return table.astype(dict.fromkeys(whole, "Int64"))


def sections_by_scope(tables: Iterable[Iterable[Section]]) -> dict[str, list[Section]]:
    """The sections of each protocol, or scope of a study that varies a part of it."""
    found: dict[str, list[Section]] = {}
    for section in (section for table in tables for section in table):
        found.setdefault(section.protocol_id, []).append(section)
    return found


def by_scope(
    known: pd.DataFrame, tables: Sequence[Sequence[Section]]
) -> Iterator[tuple[str, pd.DataFrame, list[Section]]]:
    """Scope, runs and sections of what has a part of the page of its own, the one planned last first.

    Args:
        known: of selection.known. tables: the sections of each study.
    """
    found = sections_by_scope(tables)
    for scope_id in (one for one in selection.protocols(known) if one in found):
        first = found[scope_id][0]
        yield scope_id, first.runs if first.of.elsewhere else known[known["scope_id"] == scope_id], found[scope_id]


def combined(sections: Sequence[Section], part: Literal["cells", "gains"]) -> pd.DataFrame:
    """The rows of all sections in one table, as CSV holds them; `protocol_id` tells them apart.

    Where the folder has several protocols, a last column `protocol` says what differs between them.
    """
    parts: list[pd.DataFrame] = []
    for section in sections:
        table: pd.DataFrame = getattr(section, part)
        parts.append(table.assign(protocol=section.protocol) if section.protocol else table)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
