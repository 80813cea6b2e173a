"""Which cells a study's table has under a protocol: the paper's grid, always whole, and whatever else was run."""

from typing import Any

import pandas as pd

from analysis.runs.cell import AXES, Cell
from analysis.runs.frame import variant_axes
from analysis.runs.study import BUILT_IN, NO_STUDY, Study
from model.widths import resolve_stem

WHOLE = (
    *("groups", "stem_channels", "seed", "classes", "channels", "train_images", "val_images", "test_images"),
    *("resolution", "cache_resolution", "epochs", "batch_size", "pad", "ghost_batches"),
)


def layout(study: Study, stem: str) -> list[Cell]:
    """The cells that the paper prints, of a study of this project."""
    found = []
    for given, _ in study.published:
        cell = Cell.of({**study.defaults, **given})
        found.append(cell.but({"stem_channels": resolve_stem(cell["groups"], cell["width"], stem, None)}))
    return found


def keys(study: Study, rows: pd.DataFrame) -> list[Cell]:
    """The cells of a study's table among the runs `rows` of one protocol, in its order.

    The paper's tables have their layout and whatever else was run: Table 2 shows networks with shuffle. Table 3 shows
    both arms of whatever was planned for it or run without shuffle; g = 1 has one arm only (there the shuffle is the
    identity), so it has no place in it. Another study has the cells that are planned for it.
    """
    if not study.built_in:
        return sorted({study.cell(row) for row in rows.to_dict("records")}, key=lambda cell: order(cell, study))
    if study.gain:
        asked = planned_for(study.name, rows)
        chosen = rows[(asked | ~rows["shuffle"]) & (rows["groups"] > 1)]
        arms = (study.gain.worse, study.gain.better)
        found = {study.cell(row).but({study.gain.axis: arm}) for row in chosen.to_dict("records") for arm in arms}
    else:
        found = {study.cell(row) for row in rows[rows["shuffle"]].to_dict("records")}
    # A grid cell that was run with a stem of the user's choice stands in for the one with the default stem.
    run = {key.but({"stem_channels": None}) for key in found}
    planned = layout(study, str(rows["stem"].iloc[0]))
    grid = {key for key in planned if key.but({"stem_channels": None}) not in run}
    return sorted(grid | found, key=lambda cell: order(cell, study))


def order(cell: Cell, study: Study) -> tuple[Any, ...]:
    """Place of a cell: the paper's network first, widths falling, then its other axes rising, without before with."""
    name, width = cell.get("structure"), cell.get("width")
    others = [axis for axis in (*study.rows, *study.columns) if axis not in AXES]
    axes = ("groups", "stem_channels", *others, "shuffle")
    values = tuple((cell.get(axis) is not None, cell.get(axis) or 0) for axis in axes)
    return (name != "shufflenet", str(name), -(width or 0), *values)


def planned_for(study: str, rows: pd.DataFrame) -> pd.Series:
    """Which runs a plan of exactly this study names."""
    return _names(study, rows["planned_by"])


def _names(study: str, column: pd.Series) -> pd.Series:
    return pd.Series([study in names.split(",") for names in column], index=column.index, dtype=bool)


def known(frame: pd.DataFrame) -> pd.DataFrame:
    """The runs of a frame whose cell is known (all but those without a description), with plain types."""
    return _typed(frame.dropna(subset=["cell_id", "structure"]))


def runs_of(study: Study, frame: pd.DataFrame) -> pd.DataFrame:
    """The runs that a study's table may show: that belong to it; for the paper's, all that are of no other study."""
    if not study.built_in:
        return _typed(frame[_names(study.name, frame["belongs_to"])])
    papers = (*BUILT_IN, *NO_STUDY)
    mine = [not names or any(name in papers for name in names.split(",")) for names in frame["belongs_to"]]
    other = [axis for axis in variant_axes(frame) if axis not in AXES]
    plain = frame[list(AXES)].notna().all(axis=1) & frame[other].isna().all(axis=1)
    return _typed(frame[pd.Series(mine, index=frame.index, dtype=bool) & plain])


def scope(study: Study) -> str:
    """The column whose values tell a study's tables apart."""
    return f"scope.{study.name}" if study.elsewhere else "protocol_id"


def protocols(frame: pd.DataFrame, by: str = "scope_id") -> list[str]:
    """Scopes of known runs: the one planned last comes first, those of runs without a plan come last."""
    when = frame.groupby(by).agg(written=("written", "max"), started=("started", "max"))
    when["started"] = when["started"].fillna("")
    return list(when.sort_values(["written", "started"], ascending=False, na_position="last", kind="stable").index)


def shown(study: Study, frame: pd.DataFrame) -> list[str]:
    """Scopes that a study's table has a section for, in the order of `protocols`; `frame` has the study's runs.

    Those that it was planned under, and those with runs that no other table would show. Failing both, the first of
    all: its table is then laid out with the cells that the other study trained, and says that the rest is not planned.
    """
    everything, chosen = protocols(frame, scope(study)), []
    if not study.built_in:
        return everything
    for protocol_id in everything:
        rows = frame[frame["protocol_id"] == protocol_id]
        alone = ~rows["shuffle"] if study.gain else rows["shuffle"] & ~planned_for("shuffle", rows)
        if planned_for(study.name, rows).any() or alone.any():
            chosen.append(protocol_id)
    return chosen or everything[:1]


def _typed(rows: pd.DataFrame) -> pd.DataFrame:
    """Whole numbers, numbers and truth values as such; a column that has gaps keeps them."""
    types: dict[str, Any] = {**dict.fromkeys(WHOLE, int), "width": float, "shuffle": bool}
    whole = [name for name in types if rows[name].notna().all()]
    typed = rows.astype({name: types[name] for name in whole})
    for name in (name for name in types if name not in whole):
        typed[name] = pd.Series([v if v != v else types[name](v) for v in rows[name]], rows.index, dtype=object)
    return typed
