"""What a sweep says before and after the training: the plan, mistakes, the outcome."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape

from ablations.core.config import Config
from ablations.core.console import console, duration
from ablations.core.job_state import JobState
from ablations.core.protocol_names import run_names
from ablations.core.run_spec import name
from ablations.core.text import counted, nearest
from ablations.execution.job import Job
from ablations.store import run_folder
from ablations.sweep.plan import Plan, Planned

MORE_SEEDS = (
    "Nothing was trained. Give more seeds, here (SEEDS=2, or seed=0,1) or in the file of the study or preset that says "
    "how many there are (seed in hydra.sweeper.params). If one seed is meant, say so: SEEDS=1 here, trial: true in the "
    "file."
)
"""What to do where the seeds of a file can decide no claim."""


def show_plan(plan: Plan, results: Path, seconds: float, workers: int) -> None:
    """Runs planned, done and to train, with a rough time; and which results could not be believed."""
    out = console()
    for job in plan.todo:
        reason = run_folder.damage(results, job.run.run_id)
        if reason:
            out.print(f"[yellow]{escape(reason)}[/]")
    cells = len({job.run.cell_id for job in plan.planned})
    text = f"Plan: {counted(len(plan.planned), 'run')} of {counted(cells, 'cell')}, {plan.done} done, "
    text += f"{len(plan.todo)} to train"
    out.print(text + (f", about {duration(seconds)} on {counted(workers, 'worker')}." if plan.todo else "."))


def show_outcome(plan: Plan, left: Sequence[Planned], results: Path) -> None:
    """What is done and, by name, what is not and why."""
    out = console()
    done = f"{len(plan.planned) - len(left)} of {counted(len(plan.planned), 'run')} done"
    out.print(f"{done}, results in {escape(str(results))}/runs.")
    names = run_names(job.run for job in plan.planned)
    for job in left:
        record = run_folder.failure(results, job.run.run_id)
        why = f"{record.status}: {record.error}" if record else "not run"
        out.print(f"[red]not done[/]  {escape(names[job.run.run_id])} ({job.run.run_id})  {escape(why)}")
    planned = {job.run.run_id for job in plan.planned}
    for folder, reason in run_folder.aside(results).items():
        if folder.partition(".")[0] in planned:
            out.print(f"set aside  runs/{folder}: {escape(reason)}")
    if left:
        out.print("Run the same command again to train what is missing; logs are in each run's log.txt.")


def show_looks(looks: Iterable[Mapping[str, Any]]) -> None:
    """A line for each study with a plan of looks: its last look, what it has decided, and how it goes on."""
    for one in looks:
        goes_on = "this was the last look" if one["open"] else "no cell needs more seeds"
        if more := len(one["needed"]):
            goes_on = f"{counted(more, 'cell')} {'gets' if more == 1 else 'get'} more seeds"
        console().print(
            f"Look {one['look']} of at most {one['looks']} at {one['study']}, with {one['seeds']} seeds a cell: "
            f"{counted(one['decided'], 'claim')} decided, {one['open']} open; {goes_on}.",
            markup=False,
        )


def show_spread(text: str) -> None:
    """What a pilot has found."""
    found = f"Seeds' errors spread by {text}. make cost reckons with it, and these runs are runs of the study."
    console().print(
        found if text else "How far seeds spread is not known yet: two seeds of a cell are needed.", markup=False
    )


def show_run(job: Job, state: JobState) -> None:
    """How one run ended."""
    found = run_folder.result(job.results, job.run.run_id)
    words = {JobState.HELD: "another process trains it now", JobState.STOPPED: "the same command again goes on"}
    failure = run_folder.failure(job.results, job.run.run_id)
    why = words.get(state) or (failure.error if failure else "")
    text = f"error {100 * found.error:.2f} %" if found else why
    folder = run_folder.path_of(job.results, job.run.run_id)
    console().print(f"{name(job.run)}: {state}, {escape(f'{text} ({folder})')}")


def unknown_key(text: str) -> str:
    """A sentence about an override whose key does not exist, with the nearest one; empty for any other error.

    Args:
        text: what Hydra says, who proposes to add the key with `+`, which the schema then refuses.
    """
    found = re.search(r"Could not override '([\w.]+)'", text)
    return "" if not found or found[1] in keys() else _nearest(found[1])


def in_a_file(text: str) -> str:
    """A sentence about a key of a configuration file that is unknown or has a wrong value; empty for any other error.

    Args:
        text: what Hydra says.
    """
    found = re.search(r"In '([\w./-]+)': \w+ raised while composing config:\n(.*)\n\s+full_key: ([\w.]+)", text)
    if not found:
        return ""
    file, reason, key = found.groups()
    if key == file.partition("/")[0]:
        return f"{file}.yaml must begin with the line `# @package _global_`: its keys are then keys of a job."
    said = _nearest(key) if reason.startswith("Key ") else f"{key}: {reason.rstrip('.')}."
    if key.rpartition(".")[2] == "seed":
        said += ' Seeds of a sweep are a text in hydra.sweeper.params, seed: "0,1,2".'
    return f"{file}.yaml: {said}"


def _nearest(key: str) -> str:
    """That a key does not exist, with the nearest one, else those beside it."""
    group = key.rpartition(".")[0]
    known = [name for name in dict.fromkeys((*keys(), "hydra.sweeper.params", "hydra.sweeper.narrow")) if name != group]
    beside = [name for name in known if name.rpartition(".")[0] == group]
    return f"There is no key {key}: {nearest(key, beside or known, known, 0.8)}"


def keys() -> Iterator[str]:
    """All keys of a job's configuration, of whichever data set, with dots between their parts; and the groups."""
    yield from ("ablation", "preset")
    for one in fields(Config):
        yield one.name
        part = one.type
        kinds = (part.__subclasses__() or [part]) if isinstance(part, type) and is_dataclass(part) else []
        yield from (f"{one.name}.{field.name}" for kind in kinds for field in fields(kind))
