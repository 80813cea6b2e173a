"""The finished runs of a results folder or of a committed study, for comparisons and for the spread between seeds."""

from pathlib import Path
from typing import Any

import pandas as pd

from ablations.core.errors import UserError
from ablations.store.protocol_folders import means, read_folders
from analysis.runs import frame
from analysis.runs.cell import AXES, Cell
from analysis.runs.csv_fields import decode
from analysis.runs.files import read_json

RUNS = "runs.csv"
"""Of a committed study, beside study.json: a row per run, with the columns of frame.runs that are used here."""


def read(folder: Path, protocol: str = "", rather: str = "", data: str = "") -> pd.DataFrame:
    """The finished runs of one protocol, the one planned last where none is named, with errors in percent.

    Columns besides those of frame.runs: `cell`, the Cell of all axes of the network. A committed study has no cell_id;
    there it is the cell's values.

    Args:
        protocol: its name or id, or how it begins; rather: the id of one that is taken where it is there.
        data: name of its data.

    Raises:
        UserError: there are none.
    """
    if (folder / RUNS).exists() and not (folder / "runs").is_dir():  # a results folder has one, too, in percent
        study = read_json(folder / "study.json") or {}
        axes = [*AXES, *study.get("axes", [])]
        rows = pd.read_csv(folder / RUNS, converters=dict.fromkeys(axes, _value))
        if "protocol_id" not in rows:
            rows["protocol_id"] = str(study.get("protocol_id", ""))
        rows["data"] = study.get("protocol", {}).get("data", {}).get("name", "")
    else:
        rows = frame.runs(folder).sort_values("written", ascending=False, kind="stable")
        axes = frame.variant_axes(rows)
    names = read_folders(folder).names
    done = rows[rows["state"] == "done"]
    done = done.loc[[means(protocol, str(one), names) for one in done["protocol_id"]]]  # also where none is done
    done = done[done["data"] == data] if data else done
    if done.empty:
        which = f" of a protocol {protocol}" if protocol else ""
        raise UserError(f"{folder} has no finished run{which}.")
    ids = done["protocol_id"].astype(str)
    mine = done[ids == (rather if rather in set(ids) else ids.iloc[0])]
    cells = [Cell.of(row) for row in mine[axes].to_dict("records")]
    mine = mine.assign(error=100 * mine["error"].astype(float), cell=pd.Series(cells, mine.index, dtype=object))
    return mine if "cell_id" in mine else mine.assign(cell_id=list(map(str, cells)))


def _value(text: str) -> Any:
    """The value of an axis in runs.csv, as `pack` writes it or pandas does; None where the network has no such axis."""
    return {"": None, "True": True, "False": False}.get(text, decode(text))
