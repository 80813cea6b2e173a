"""Runs in a results folder that no plan names: single ones, and those of a sweep that a later one replaced."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ablations.core.errors import UserError
from ablations.core.files import read_json
from ablations.core.run_spec import from_json
from ablations.store.run_folder import run_folder

STUDY = "in no plan"


def plans(results: Path, known: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a plan of them would be, one for each protocol; runs whose run.json makes no sense are left out.

    Args:
        known: the plans that there are, whose runs are not meant.
    """
    planned = {entry["run_id"] for plan in known for entry in plan["runs"]}
    found: dict[str, dict[str, Any]] = {}
    for run_id in sorted(_names(results / "runs") - planned):
        with suppress(UserError, KeyError, TypeError, ValueError):  # UserError: not the folder of a run
            described = read_json(run_folder(results, run_id) / "run.json") or {}
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
