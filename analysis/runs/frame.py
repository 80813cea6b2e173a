"""One tidy pandas row for every run that is known: planned, under way, failed or done."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from ablations.core.protocol_names import protocol_names
from ablations.core.run_spec import Recipe, Run, from_json, plain
from ablations.store import run_folder
from ablations.store.plans import read_plans
from ablations.store.records import Result
from ablations.store.run_state import state_in
from analysis.runs.cell import AXES
from analysis.runs.files import read_json
from model.widths import default_stem_channels

COLUMNS = (
    *("run_id", "cell_id", "protocol_id", "planned_by", "belongs_to", "state", "reason"),
    *("structure", "groups", "width", "shuffle", "stem_channels", "seed"),
    *("error", "top5_error", "loss", "train_loss", "tested", "seconds", "images_per_second", "peak_memory_bytes"),
    "images_left_out",
    *("preset", "data", "classes", "channels", "train_images", "test_images", "evaluate", "resolution", "stem"),
    *("precision", "val_images", "digest", "cache_resolution", *(field.name for field in fields(Recipe))),
    *("kernels", "device", "device_type", "commit", "dirty", "started", "written", "protocol", "scope_id"),
)
"""Columns of `runs`, in this order; after them come other axes of networks, and axes of studies outside these."""


def runs(results: Path) -> pd.DataFrame:
    """Every run that a plan names or that has a folder, sorted by protocol, variant and seed.

    Columns (NaN where unknown):
        planned_by: studies whose latest plan has the run, comma-separated; empty where none has.
        belongs_to: these and, of a run that is done or that no plan has, the studies that plan its cell.
        state: done, failed, diverged, killed, damaged (a result that cannot be read: it counts as not done), running,
            stopped (no sign of life for two minutes), planned (nothing there yet).
        reason: one sentence where the state is not done.
        error, top5_error: fractions of the `tested` images at the last epoch; loss in nats; seconds: of the whole run.
        images_left_out: by split [images that do not decode, images listed], where the result says so.
        test_images, evaluate: how many images the protocol evaluates on, and the split that they come from.
        epochs, batch_size, lr, weight_decay ...: the recipe; kernels: what computed the run, where it was written down.
        started: when the last attempt began; written: when the protocol was last planned (seconds since 1970, or NaN).
        protocol: what sets the run's protocol apart from the others here (`lr 0.01`); empty where there is one only.
        scope_id: the protocol, or what a study's runs share that varies a part of the protocol.

    A run whose description or result holds numbers that no table can show is set aside: its row has an id, the state
    `damaged` and the reason, and nothing else.
    """
    known: dict[str, dict[str, Any]] = {}
    plans = read_plans(results)
    studied = {plan.study for plan in plans if not plan.scope_id}
    for plan in plans:
        for entry, run in plan.described():
            row = known.setdefault(entry.run_id, {"run_id": entry.run_id, "planned_by": "", "state": "planned"})
            if plan.scope_id:  # one table has runs of several protocols: what they share is their scope
                row.update({f"scope.{plan.study}": plan.scope_id, "scope_id": plan.scope_id, **entry.axes})
            row["planned_by"] = ",".join(sorted({*filter(None, row["planned_by"].split(",")), plan.study}))
            row.update(preset=plan.preset, written=_seconds(plan.written))
            try:
                row.update(_describe(run, entry.cell_id, entry.protocol_id or plan.protocol_id))
            except ValueError as error:
                reason = f"The plan of {plan.study} names run {entry.run_id}: {str(error).removesuffix('.')}."
                row.update(state="damaged", reason=reason)
        for run_id, why in plan.unreadable.items():
            reason = f"The plan of {plan.study} cannot be read where it names run {run_id} ({why})."
            known.setdefault(run_id, {"run_id": run_id, "planned_by": "", "state": "damaged", "reason": reason})
    for folder in _folders(results / "runs"):
        row = known.setdefault(Path(folder).name, {"run_id": Path(folder).name, "planned_by": "", "state": "planned"})
        row.update(_read_folder(folder, row))
    described = [row for row in known.values() if "protocol" in row]
    _belong(described)
    names = protocol_names({row["protocol_id"]: row["protocol"] for row in described})
    for row in described:
        if "scope_id" not in row or studied & {*row["planned_by"].split(",")}:
            row["scope_id"] = row["protocol_id"]
        row["protocol"] = names[row["protocol_id"]]
    more = sorted({name for row in described for name in row} - {*COLUMNS})
    table = pd.DataFrame(list(known.values()), columns=[*COLUMNS, *more]).fillna({"belongs_to": ""})
    table["written"] = table.groupby("protocol_id")["written"].transform("max")
    order = ["protocol_id", "structure", "width", "groups", "shuffle", "stem_channels", "seed", "run_id"]
    return table.sort_values(order, ignore_index=True)


def _belong(described: Sequence[dict[str, Any]]) -> None:
    """Fill `belongs_to`, and what plans alone say of a cell, its scope and its axes outside of the network."""
    together: dict[str, list[dict[str, Any]]] = {}
    for row in described:
        together.setdefault(row["cell_id"], []).append(row)
    for rows in together.values():
        studies = {name for row in rows for name in row["planned_by"].split(",")}
        said = {key: row[key] for row in rows for key in row if "." in key or key == "scope_id"}
        for row in rows:
            row["belongs_to"] = row["planned_by"]
            if row["state"] == "done" or not row["planned_by"]:
                # Where a plan names the run, its scope is the plan's.
                taken = {*row, "scope_id"} if row["planned_by"] else {*row}
                row.update({key: value for key, value in said.items() if key not in taken})
                row["belongs_to"] = ",".join(sorted(filter(None, studies)))


def variant_axes(frame: pd.DataFrame) -> list[str]:
    """Columns that are axes of networks."""
    return [*AXES, *(name for name in frame.columns if name not in COLUMNS and "." not in name)]


def _folders(runs_folder: Path) -> Iterator[str]:
    """Folders of runs, without those set aside and the hidden files that writing leaves for a moment."""
    if not runs_folder.is_dir():
        return
    with os.scandir(runs_folder) as entries:
        mine = (
            e.path for e in entries if e.is_dir() and not e.name.startswith(".") and not run_folder.is_aside(e.name)
        )
        yield from sorted(mine)


def _read_folder(folder: str, row: dict[str, Any]) -> dict[str, Any]:
    """What a run's folder adds to its row: description, state, result and provenance."""
    with os.scandir(folder) as entries:
        names = {entry.name for entry in entries}
    description = read_json(f"{folder}/run.json") if "run.json" in names else None
    provenance = (read_json(f"{folder}/provenance.json") if "provenance.json" in names else None) or {}
    found = {
        key: _plain(provenance.get(key)) for key in ("kernels", "device", "device_type", "commit", "dirty", "started")
    }
    found["preset"] = row.get("preset") or _plain(provenance.get("preset"))
    state = state_in(folder, names, row["run_id"])
    found.update({"state": state.state, "reason": state.reason, **(_result(state.result) if state.result else {})})
    why = "cannot be read, and no plan names the run"
    try:
        if description:
            ids = (str(description["cell_id"]), str(description["protocol_id"]))
            return {**found, **_describe(from_json(description), *ids)}
    except ValueError as error:
        why = f"is set aside: {str(error).removesuffix('.')}"
    except (KeyError, TypeError):
        pass
    if "structure" in row:  # from a plan
        return found
    # Nothing says which cell this is, so no table can show it but as a note.
    return {**found, "state": "damaged", "reason": row.get("reason") or f"runs/{row['run_id']}/run.json {why}."}


def _result(result: Result) -> dict[str, Any]:
    """The columns that result.json fills."""
    keys = ("error", "top5_error", "loss", "train_loss", "images_per_second", "peak_memory_bytes", "images_left_out")
    return {"tested": result.test_images, "seconds": result.seconds.total, **{k: getattr(result, k) for k in keys}}


def _describe(run: Run, cell_id: str, protocol_id: str) -> dict[str, Any]:
    """The columns that a description fills; the ids are those that were stored, perhaps under older numerics.

    `protocol` is the whole one, to be named when all are known.

    Raises:
        ValueError: no table can show the run: a count is below 1, or its network cannot be built.
    """
    protocol = run.protocol
    data = protocol.data
    axes = plain(run.variant)
    axes.pop("behaviour", None)
    if {"groups", "width"} <= axes.keys():
        try:
            default_stem_channels(axes["groups"], axes["width"])
        except OverflowError:
            raise ValueError(f"its width is {axes['width']:g}, and no network is so wide") from None
    counts = {
        **{key: axes[key] for key in ("groups", "stem_channels") if axes.get(key) is not None},
        **{key: getattr(data, key) for key in ("classes", "channels", "train_images")},
        "test_images": data.val_images if data.evaluate == "val" else data.test_images,
        "resolution": protocol.resolution,
        **{key: getattr(protocol.recipe, key) for key in ("epochs", "batch_size")},
    }
    for key, value in counts.items():
        if value < 1:
            raise ValueError(f"its {key.replace('_', ' ')} is {value}, and must be at least 1")
    return {
        **{"cell_id": cell_id, "protocol_id": protocol_id, "seed": run.seed},
        **axes,
        **{key: getattr(protocol, key) for key in ("stem", "precision")},
        **{key: getattr(data, key) for key in ("val_images", "digest", "cache_resolution", "evaluate")},
        **asdict(protocol.recipe),
        **counts,
        "data": data.name,
        "protocol": plain(protocol),
    }


def _plain(value: Any) -> str | bool | None:
    """A value of provenance as it should be; what is neither text nor yes or no is unknown."""
    return value if isinstance(value, str | bool) else None


def _seconds(stamp: str | None) -> float:
    """Seconds since 1970 of an ISO 8601 time, NaN where there is none."""
    try:
        return datetime.fromisoformat(str(stamp)).timestamp()
    except (ValueError, OverflowError):  # a year that the clock does not have
        return float("nan")
