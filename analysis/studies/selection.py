"""Which cells a study's table has under a protocol: the paper's grid, always whole, and whatever else was run."""

import pandas as pd

from analysis import paper
from analysis.runs.frame import CellKey
from model.widths import resolve_stem


def layout(study: str, stem: str) -> list[CellKey]:
    """The cells of the paper's table, in its order: widths falling, groups rising, without shuffle before with."""
    if study == "groups":
        grid = [(width, groups, True) for width in paper.WIDTHS for groups in paper.GROUPS]
    else:
        grid = [
            (w, groups, shuffle) for w in paper.WIDTHS for groups in paper.SHUFFLE_GROUPS for shuffle in (False, True)
        ]
    return [
        CellKey("shufflenet", w, groups, shuffle, resolve_stem(groups, w, stem, None)) for w, groups, shuffle in grid
    ]


def keys(study: str, rows: pd.DataFrame) -> list[CellKey]:
    """The layout, and the other cells among the runs `rows` of one protocol that belong to the study.

    Table 2 shows networks with shuffle. Table 3 shows both arms of whatever was planned for it or run without shuffle;
    g = 1 has one arm only (there the shuffle is the identity), so it has no place in it.
    """
    columns = list(CellKey._fields)
    if study == "groups":
        found = {CellKey(*values) for values in rows.loc[rows["shuffle"], columns].itertuples(index=False)}
    else:
        planned = planned_for("shuffle", rows)
        chosen = rows.loc[(planned | ~rows["shuffle"]) & (rows["groups"] > 1), columns]
        found = {
            CellKey(*values)._replace(shuffle=arm) for values in chosen.itertuples(index=False) for arm in (False, True)
        }
    # A grid cell that was run with a stem of the user's choice stands in for the one with the default stem.
    run = {key[:4] for key in found}
    grid = {key for key in layout(study, str(rows["stem"].iloc[0])) if key[:4] not in run}
    return sorted(grid | found, key=_order)


def planned_for(study: str, rows: pd.DataFrame) -> pd.Series:
    """Which runs a plan of exactly this study names."""
    return pd.Series([study in names.split(",") for names in rows["planned_by"]], index=rows.index, dtype=bool)


def known(frame: pd.DataFrame) -> pd.DataFrame:
    """The runs of a frame whose cell is known (all but those without a description), with plain types."""
    rows = frame.dropna(subset=["cell_id", "structure"])
    whole = ("groups", "stem_channels", "seed", "classes", "channels", "train_images", "test_images", "resolution")
    types = {**dict.fromkeys((*whole, "epochs", "batch_size"), int), "width": float, "shuffle": bool}
    return rows.astype(types)


def protocols(frame: pd.DataFrame) -> list[str]:
    """Protocols of known runs: the one planned last comes first, those of runs without a plan come last."""
    when = frame.groupby("protocol_id").agg(written=("written", "max"), started=("started", "max"))
    when["started"] = when["started"].fillna("")
    return list(when.sort_values(["written", "started"], ascending=False, na_position="last", kind="stable").index)


def shown(study: str, frame: pd.DataFrame) -> list[str]:
    """Protocols that a study's table has a section for, in the order of `protocols`.

    Those that it was planned under, and those with runs that no other table would show. Failing both, the first of
    all: its table is then laid out with the cells that the other study trained, and says that the rest is not planned.
    """
    everything, chosen = protocols(frame), []
    for protocol_id in everything:
        rows = frame[frame["protocol_id"] == protocol_id]
        alone = ~rows["shuffle"] if study == "shuffle" else rows["shuffle"] & ~planned_for("shuffle", rows)
        if planned_for(study, rows).any() or alone.any():
            chosen.append(protocol_id)
    return chosen or everything[:1]


def _order(key: CellKey) -> tuple[object, ...]:
    return (key.structure != "shufflenet", key.structure, -key.width, key.groups, key.stem_channels, key.shuffle)
