"""Plans: which runs a study asked for, kept under results/plans."""

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ablations.core.errors import UserError
from ablations.core.files import read_json, timestamp, write_json
from ablations.core.run_spec import SCHEMA, Run, from_json, plain
from ablations.store.run_folder import path_of

STUDY = "in no plan"
"""Stands where a plan names its study, for runs that no plan names."""


def write_plans(jobs: Iterable[tuple[str, str, Run]], results: Path, command: str) -> None:
    """Record what was asked for, by study and protocol, so that tables can tell a missing run from an unplanned one.

    Args:
        jobs: (study, preset, run) as composed, before merging: a run that two studies share stands in both plans.
        command: the command line that asked for them.
    """
    together: dict[tuple[str, str], dict[str, tuple[str, Run]]] = {}
    for study, preset, run in jobs:
        together.setdefault((study, run.protocol_id), {}).setdefault(run.run_id, (preset, run))
    for (study, protocol_id), unique in together.items():
        presets, runs = zip(*unique.values(), strict=True)
        path = results / "plans" / f"{study}-{protocol_id}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "schema": SCHEMA,
            "study": study,
            "preset": presets[0],
            "protocol_id": protocol_id,
            "protocol": plain(runs[0].protocol),
            "runs": [
                {"run_id": run.run_id, "cell_id": run.cell_id, "seed": run.seed, "variant": plain(run.variant)}
                for run in runs
            ],
        }
        known = read_json(path) or {}
        stored = json.loads(json.dumps(content))  # as it reads back: tuples are lists
        if any(known.get(key) != value for key, value in stored.items()):
            stamp = {"command": command, "written": timestamp()}
            write_json(path, {**content, **stamp})


def read_plans(results: Path) -> list[dict[str, Any]]:
    """The latest plan of each study under each protocol, by name of file; those that make no sense are left out."""
    found = (read_json(path) for path in sorted((results / "plans").glob("*.json")))
    return [plan for plan in found if plan and is_plan(plan)]


def is_plan(plan: dict[str, Any]) -> bool:
    """Whether a plan says of each of its runs what it is."""
    try:
        for entry in plan["runs"]:
            from_json({**entry, "protocol": plan["protocol"]})
            path_of(Path(), entry["run_id"])
            str.encode(entry["cell_id"])
        return all(isinstance(plan[key], str) for key in ("study", "preset", "protocol_id"))
    except (KeyError, TypeError, ValueError, AttributeError, UserError):
        return False


def unplanned(results: Path, known: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a plan of them would be, one for each protocol; runs whose run.json makes no sense are left out.

    Args:
        known: the plans that there are, whose runs are not meant.
    """
    planned = {entry["run_id"] for plan in known for entry in plan["runs"]}
    found: dict[str, dict[str, Any]] = {}
    for run_id in sorted(_names(results / "runs") - planned):
        with suppress(UserError, KeyError, TypeError, ValueError):  # UserError: not the folder of a run
            described = read_json(path_of(results, run_id) / "run.json") or {}
            run = from_json(described)
            entry = {"run_id": run_id, "cell_id": run.cell_id, "seed": run.seed, "variant": described["variant"]}
            nothing = {"study": STUDY, "protocol_id": run.protocol_id, "protocol": described["protocol"], "runs": []}
            found.setdefault(run.protocol_id, nothing)["runs"].append(entry)
    return list(found.values())


def _names(folder: Path) -> set[str]:
    try:
        return {path.name for path in folder.iterdir()}
    except OSError:
        return set()
