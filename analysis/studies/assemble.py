"""The tables as data: complexity (Table 1), and Tables 2 and 3 with one section for each protocol."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from analysis import paper
from analysis.claims import judge
from analysis.claims.parser import CLAIMS, read_claims
from analysis.claims.verdict import Verdict
from analysis.runs import frame
from analysis.runs.macs import at_224, costs
from analysis.stats.contrast import CellRef
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
        gains: shuffle's gain by cell, columns gains.COLUMNS; no rows in the groups study.
        runs: the protocol's runs, as frame.runs gives them.
        title: data and training in a few words; scope: in full.
        protocol: what sets the protocol apart from the others in the folder; empty where there is one only.
        notes: sentences that belong under the table: what intervals mean, what is missing and why.
        verdicts: on the study's claims, in their order.
    """

    study: str
    protocol_id: str
    title: str
    scope: str
    notes: tuple[str, ...]
    cells: pd.DataFrame
    gains: pd.DataFrame
    runs: pd.DataFrame
    verdicts: tuple[Verdict, ...] = ()
    protocol: str = ""


def sections(
    study: str, frame: pd.DataFrame, results: Path, claims: Path = CLAIMS, measure: bool = True
) -> list[Section]:
    """Sections of a study's table, the protocol that was planned last first; none where no run is known.

    Args:
        study: `groups` (Table 2) or `shuffle` (Table 3).
        frame: what frame.runs gives for the folder `results`.
        claims: the file of claims.
        measure: as for macs.costs.

    Raises:
        UserError: a claim is malformed.
    """
    known = selection.known(frame)
    asked = [claim for claim in read_claims(claims) if claim.study == study]
    found: list[Section] = []
    for protocol_id in selection.shown(study, known):
        rows = known[known["protocol_id"] == protocol_id]
        keys = selection.keys(study, rows)
        drawn = sample(rows, results)
        table = cells.summarise(study, rows, keys, results, drawn, measure)
        gain = gains.summarise(rows, keys if study == "shuffle" else [], drawn)
        mine = rows[rows["cell_id"].isin(table["cell_id"])]
        title, scope = notes.title(rows), notes.scope(rows, table)
        text = (*notes.on_preset(rows), *notes.on_intervals(study, table, gain), *notes.on_left_out(rows))
        text += (*notes.on_gaps(study, mine, table), *notes.on_origin(mine))
        text += tuple(notes.orphans(frame)) if not found else ()
        judged = tuple(judge.verdicts(asked, drawn, scope, protocol_id, _ids(rows, drawn)))
        apart = str(rows["protocol"].iloc[0])
        found.append(Section(study, protocol_id, title, scope, text, table, gain, mine, judged, apart))
    return found


def _ids(rows: pd.DataFrame, drawn: Sample) -> dict[CellRef, str]:
    """cell_id of every cell that was planned or run."""
    keys = rows[[*frame.CellKey._fields, "cell_id"]].drop_duplicates()
    return {drawn.ref(frame.CellKey(*key)): cell_id for *key, cell_id in keys.itertuples(index=False)}


def table1(results: Path, measure: bool = True) -> pd.DataFrame:
    """Complexity at 224x224 of every network that the paper prints one for, and of the blog variant at 1x.

    Columns: conv_macs (convolutions alone: what Table 1 rounds to), macs (with the fully connected layer), params,
    paper_macs and paper_table (what the paper prints, and where), stem_channels. At 1000 classes.
    """
    wanted = [("shufflenet", width, groups) for width in paper.WIDTHS for groups in paper.GROUPS]
    wanted[:0] = [("shufflenet", width, groups) for width, groups in paper.TABLE_5_COMPLEXITY]
    wanted += [("blog", 1.0, groups) for groups in paper.GROUPS]
    subjects = [at_224(name, g, width, resolve_stem(g, width, "imagenet", None)) for name, width, g in wanted]
    known = costs(results, subjects, measure)
    rows = []
    for subject in subjects:
        cost, printed = known[subject], paper.complexity(subject.width, subject.groups)
        rows.append(
            {
                **{key: getattr(subject, key) for key in ("structure", "width", "groups", "stem_channels")},
                **{key: getattr(cost, key, None) for key in ("conv_macs", "macs", "params")},
                "paper_macs": int(1_000_000 * printed.value) if printed else None,
                "paper_table": printed.table if printed else "",
            }
        )
    table = pd.DataFrame(rows, columns=list(TABLE_1_COLUMNS))
    whole = ["conv_macs", "macs", "params", "paper_macs"]
    return table.astype(dict.fromkeys(whole, "Int64"))


def combined(sections: Sequence[Section], part: Literal["cells", "gains"]) -> pd.DataFrame:
    """The rows of all sections in one table, as CSV holds them; `protocol_id` tells them apart.

    Where the folder has several protocols, a last column `protocol` says what differs between them.
    """
    parts: list[pd.DataFrame] = []
    for section in sections:
        table: pd.DataFrame = getattr(section, part)
        parts.append(table.assign(protocol=section.protocol) if section.protocol else table)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
