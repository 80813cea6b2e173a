"""One tidy pandas row for every run that is known: planned, under way, failed or done."""

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from ablations.core.run_spec import from_json
from ablations.store import run_folder
from ablations.store.plans import read_plans
from ablations.store.run_state import FAILED as FAILED
from ablations.store.run_state import state_in
from analysis.runs.files import read_json

COLUMNS = (
    *("run_id", "cell_id", "protocol_id", "planned_by", "state", "reason"),
    *("structure", "groups", "width", "shuffle", "stem_channels", "seed"),
    *("error", "top5_error", "loss", "train_loss", "tested", "seconds", "images_per_second", "peak_memory_bytes"),
    "images_left_out",
    *("preset", "data", "classes", "channels", "train_images", "test_images", "evaluate", "resolution", "stem"),
    *("precision", "epochs", "batch_size", "device", "device_type", "commit", "dirty", "started", "written"),
)
"""Columns of `runs`, in this order."""


def runs(results: Path) -> pd.DataFrame:
    """Every run that a plan names or that has a folder, sorted by protocol, variant and seed.

    Columns (NaN where unknown):
        planned_by: studies whose latest plan has the run, comma-separated; empty where none has.
        state: done, failed, diverged, killed, damaged (a result that cannot be read: it counts as not done), running,
            stopped (no sign of life for two minutes), planned (nothing there yet).
        reason: one sentence where the state is not done.
        error, top5_error: fractions of the `tested` images at the last epoch; loss in nats; seconds: of the whole run.
        images_left_out: by split [images that do not decode, images listed], where the result says so.
        test_images, evaluate: how many images the protocol evaluates on, and the split that they come from.
        started: when the last attempt began; written: when the protocol was last planned (seconds since 1970, or NaN).
    """
    known: dict[str, dict[str, Any]] = {}
    for plan in read_plans(results):
        for run in plan["runs"]:
            row = known.setdefault(run["run_id"], {"run_id": run["run_id"], "planned_by": "", "state": "planned"})
            row["planned_by"] = ",".join(sorted({*filter(None, row["planned_by"].split(",")), plan["study"]}))
            row.update(_describe({**run, "protocol": plan["protocol"], "protocol_id": plan["protocol_id"]}))
            row.update(preset=plan["preset"], written=_seconds(plan.get("written")))
    for folder in _folders(results / "runs"):
        row = known.setdefault(Path(folder).name, {"run_id": Path(folder).name, "planned_by": "", "state": "planned"})
        row.update(_look(folder, row))
    table = pd.DataFrame(list(known.values()), columns=list(COLUMNS))
    table["written"] = table.groupby("protocol_id")["written"].transform("max")
    order = ["protocol_id", "structure", "width", "groups", "shuffle", "stem_channels", "seed", "run_id"]
    return table.sort_values(order, ignore_index=True)


def _folders(runs_folder: Path) -> Iterator[str]:
    """Folders of runs, without those set aside and the hidden files that writing leaves for a moment."""
    if not runs_folder.is_dir():
        return
    with os.scandir(runs_folder) as entries:
        mine = (e.path for e in entries if e.is_dir() and not e.name.startswith(".") and run_folder.ASIDE not in e.name)
        yield from sorted(mine)


def _look(folder: str, row: dict[str, Any]) -> dict[str, Any]:
    """What a run's folder adds to its row: description, state, result and provenance."""
    with os.scandir(folder) as entries:
        names = {entry.name for entry in entries}
    found: dict[str, Any] = {}
    description = read_json(f"{folder}/run.json") if "run.json" in names else None
    try:
        if description:
            from_json(description)  # of the types that it should have
            found.update(_describe(description))
    except (KeyError, TypeError, ValueError, AttributeError):
        description = None
    provenance = read_json(f"{folder}/provenance.json") if "provenance.json" in names else None
    for key in ("device", "device_type", "commit", "dirty", "started"):
        found[key] = _plain((provenance or {}).get(key))
    found["preset"] = row.get("preset") or _plain((provenance or {}).get("preset"))
    found.update(_state(folder, names, row["run_id"]))
    if not description and "structure" not in row:
        # Nothing says which cell this is, so no table can show it but as a note.
        found.update(
            state="damaged", reason=f"runs/{row['run_id']}/run.json cannot be read, and no plan names the run."
        )
    return found


def _state(folder: str, names: set[str], run_id: str) -> dict[str, Any]:
    """State, reason and, of a run that is done, its result."""
    found = state_in(folder, names, run_id)
    columns = _result(found.record) if found.state == "done" else {}
    return {**columns, "state": found.state, "reason": found.reason}


def _result(result: dict[str, Any]) -> dict[str, Any]:
    """The columns that result.json fills."""
    keys = ("top5_error", "loss", "train_loss", "images_per_second", "peak_memory_bytes", "images_left_out")
    return {
        "error": float(result["error"]),
        "tested": int(result["test_images"]),
        "seconds": (result.get("seconds") or {}).get("total"),
        **{key: result.get(key) for key in keys},
    }


def _describe(run: dict[str, Any]) -> dict[str, Any]:
    """The columns that a description fills. KeyError or TypeError where it lacks one."""
    protocol = run["protocol"]
    data, recipe, variant = protocol["data"], protocol["recipe"], run["variant"]
    return {
        **{key: str(run[key]) for key in ("cell_id", "protocol_id")},
        "seed": run["seed"],
        **{key: variant[key] for key in ("structure", "groups", "width", "shuffle", "stem_channels")},
        **{key: data[key] for key in ("classes", "channels", "train_images", "evaluate")},
        **{key: protocol[key] for key in ("resolution", "stem", "precision")},
        **{key: recipe[key] for key in ("epochs", "batch_size")},
        "data": data["name"],
        "test_images": data["val_images" if data["evaluate"] == "val" else "test_images"],
    }


def _plain(value: Any) -> str | bool | None:
    """A value of provenance as it should be; what is neither text nor yes or no is unknown."""
    return value if isinstance(value, str | bool) else None


def _seconds(stamp: str | None) -> float:
    """Seconds since 1970 of an ISO 8601 time, NaN where there is none."""
    try:
        return datetime.fromisoformat(str(stamp)).timestamp()
    except ValueError:
        return float("nan")


class CellKey(NamedTuple):
    """One cell within a protocol: a variant, in the order that tables sort by."""

    structure: str
    width: float
    groups: int
    shuffle: bool
    stem_channels: int
