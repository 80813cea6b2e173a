"""What a run's files say of where it comes from: state, error, commit, device, versions, host, command."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ablations.core.text import plural
from analysis.runs.files import read_json

AGREE = ("code", "device type")
"""Facts that runs of one cell should share, besides versions: where they do not, something may differ but the seed."""

NAMED = 6
"""Seeds, or values of one fact, that a sentence names; of more it gives the number."""


@dataclass(frozen=True)
class RunOrigin:
    """A run, and what it was trained with.

    Attributes:
        state, reason: as frame.runs gives them; reason is empty where there is none.
        error: top-1 error of the last epoch in percent, None of a run that is not done.
        facts: code (commit and uncommitted changes), device type, device, kernels, threads, host, command, started;
            only those that provenance.json tells: none where it cannot be read.
        versions: of Python and of packages.
        log: whether its log lies there: packed studies have none.
    """

    run_id: str
    seed: int
    state: str
    reason: str
    error: float | None
    facts: dict[str, str]
    versions: dict[str, str]
    log: bool = False

    @property
    def done(self) -> bool:
        """Whether it counts."""
        return self.state == "done"


def read_origins(results: Path, rows: pd.DataFrame) -> list[RunOrigin]:
    """Origins of the runs `rows` (of frame.runs), in the order of their seeds; reads each run's provenance.json."""
    return [_read(results, run) for run in rows.sort_values("seed", kind="stable").to_dict("records")]


def _read(results: Path, run: dict[Any, Any]) -> RunOrigin:
    folder = results / "runs" / str(run["run_id"])
    record = read_json(folder / "provenance.json") or {}
    versions = record.get("versions")
    reason = "" if pd.isna(run["reason"]) else str(run["reason"])
    return RunOrigin(
        run_id=str(run["run_id"]),
        seed=int(run["seed"]),
        state=str(run["state"]),
        reason=reason,
        error=100 * float(run["error"]) if run["state"] == "done" else None,
        facts=_facts(record) if record else {},
        versions={str(k): str(v) for k, v in versions.items()} if isinstance(versions, dict) else {},
        log=(folder / "log.txt").is_file(),
    )


def _facts(record: dict[str, Any]) -> dict[str, str]:
    keys = ("device_type", "device", "kernels", "threads", "host", "command", "started")
    found = {key.replace("_", " "): str(record[key]) for key in keys if record.get(key) is not None}
    return {"code": _code(record), **found}


def _code(record: dict[str, Any]) -> str:
    """`commit 0123456789`, with the digest of the uncommitted changes where there were any."""
    if not record.get("commit"):
        return "unknown commit (not a git checkout)"
    changes = record.get("diff_sha256")
    digest = f" (diff {str(changes)[:10]})" if changes else ""
    return f"commit {str(record['commit'])[:10]}" + (
        f" with uncommitted changes{digest}" if record.get("dirty") else ", clean"
    )


def values(runs: Iterable[RunOrigin]) -> dict[str, dict[str, list[RunOrigin]]]:
    """By fact, then by package: each value with the runs that have it, in the order of first appearance."""
    found: dict[str, dict[str, list[RunOrigin]]] = {}
    for run in runs:
        for name, value in (*run.facts.items(), *run.versions.items()):
            if name != "started":
                found.setdefault(name, {}).setdefault(value, []).append(run)
    return found


def warnings(runs: Sequence[RunOrigin]) -> list[str]:
    """What must be known before the runs behind one number are taken for repetitions that differ by seed alone."""
    done = [run for run in runs if run.done]
    packages = {name for run in done for name in run.versions}
    text = []
    for name, found in values(done).items():
        if len(found) > 1 and (name in AGREE or name in packages):
            which = [f"{value} ({seeds(same)})" for value, same in list(found.items())[:NAMED]]
            more = f"; {len(found) - NAMED} more" if len(found) > NAMED else ""
            what = name if name in AGREE else f"{name} version"
            text.append(f"The runs differ in {what}: {'; '.join(which)}{more}.")
    changed = [run for run in done if "uncommitted" in run.facts.get("code", "")]
    if changed:
        text.append(f"Trained with uncommitted changes, so the commit alone does not give the code: {seeds(changed)}.")
    lost = [run for run in done if not run.facts]
    if lost:
        text.append(f"provenance.json is absent or cannot be read, so the origin is unknown: {seeds(lost)}.")
    return text


def gaps(runs: Iterable[RunOrigin]) -> list[str]:
    """Which runs do not count, and why: those that failed one by one, those not begun together."""
    waiting = [run for run in runs if run.state == "planned"]
    text = [
        f"Seed {run.seed} {run.state}: {run.reason or 'no reason given'}"
        for run in runs
        if not run.done and run.state != "planned"
    ]
    return text + ([f"Planned, not run yet: {seeds(waiting)}."] if waiting else [])


def seeds(runs: Sequence[RunOrigin]) -> str:
    """`seed 0`, `seeds 0, 1, 2`, `370 seeds`."""
    return name_seeds(list(dict.fromkeys(run.seed for run in runs)))


def name_seeds(numbers: Sequence[int]) -> str:
    """The same of numbers of seeds."""
    if len(numbers) > NAMED:
        return f"{len(numbers)} seeds"
    return f"{plural(len(numbers), 'seed')} {', '.join(map(str, numbers))}"
