"""Which cells a study's table has under a protocol: the paper's grid, always whole, and whatever else was run."""

import pandas as pd

from analysis import paper
from analysis.runs.cell import AXES, Cell
from model.widths import resolve_stem


def layout(study: str, stem: str) -> list[Cell]:
    """The cells of the paper's table, in its order: widths falling, groups rising, without shuffle before with."""
    if study == "groups":
        grid = [(width, groups, True) for width in paper.WIDTHS for groups in paper.GROUPS]
    else:
        grid = [
            (w, groups, shuffle) for w in paper.WIDTHS for groups in paper.SHUFFLE_GROUPS for shuffle in (False, True)
        ]
    return [
        Cell(tuple(zip(AXES, ("shufflenet", w, g, shuffle, resolve_stem(g, w, stem, None)), strict=True)))
        for w, g, shuffle in grid
    ]


def keys(study: str, rows: pd.DataFrame) -> list[Cell]:
    """The layout, and the other cells among the runs `rows` of one protocol that belong to the study.

    Table 2 shows networks with shuffle. Table 3 shows both arms of whatever was planned for it or run without shuffle;
    g = 1 has one arm only (there the shuffle is the identity), so it has no place in it.
    """
    columns = list(AXES)
    if study == "groups":
        found = {Cell.of(row) for row in rows.loc[rows["shuffle"], columns].to_dict("records")}
    else:
        asked = planned_for("shuffle", rows)
        chosen = rows.loc[(asked | ~rows["shuffle"]) & (rows["groups"] > 1), columns]
        found = {Cell.of(row).but({"shuffle": arm}) for row in chosen.to_dict("records") for arm in (False, True)}
    # A grid cell that was run with a stem of the user's choice stands in for the one with the default stem.
    run = {key.but({"stem_channels": None}) for key in found}
    planned = layout(study, str(rows["stem"].iloc[0]))
    grid = {key for key in planned if key.but({"stem_channels": None}) not in run}
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


def _order(key: Cell) -> tuple[object, ...]:
    name, width, groups, shuffle, stem = (key[axis] for axis in AXES)
    return (name != "shufflenet", name, -width, groups, stem, shuffle)
