"""The plan: from composed jobs to runs, equal ones merged, finished ones dropped, seed 0 of every cell first."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ablations.core.config import Config
from ablations.core.files import read_json, timestamp, write_json
from ablations.core.run_spec import SCHEMA, Run, plain
from ablations.store import run_folder


@dataclass(frozen=True)
class Planned:
    """A run that a sweep asks for, with the Hydra overrides that compose it."""

    run: Run
    config: Config
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What a sweep asks for, and what of it is left to do, in order; `took`: seconds of each run that is done."""

    planned: tuple[Planned, ...]
    todo: tuple[Planned, ...]
    took: tuple[tuple[Run, float], ...] = ()

    @property
    def done(self) -> int:
        """How many planned runs were done before."""
        return len(self.planned) - len(self.todo)


def make_plan(jobs: Iterable[Planned], results: Path) -> Plan:
    """Merge equal runs, drop those that results already hold, and order the rest by `turn`."""
    unique: dict[str, Planned] = {}
    for job in jobs:
        unique.setdefault(job.run.run_id, job)
    planned = tuple(unique.values())
    found = [(job, run_folder.result(results, job.run.run_id)) for job in planned]
    left = [job for job, result in found if result is None]
    took = tuple((job.run, float(result["seconds"]["total"])) for job, result in found if result is not None)
    return Plan(planned, tuple(sorted(left, key=lambda job: turn(job.run))), took)


def turn(run: Run) -> tuple[int, float]:
    """What runs are trained in the order of.

    Seed 0 of every cell comes first, so that an interrupted sweep has a whole table; within a seed the costliest runs
    come first, so that no worker idles at the end behind a long one.
    """
    return run.seed, -relative_cost(run)


def relative_cost(run: Run) -> float:
    """Rough training time of a run in seconds on one CPU core: only ratios between runs are relied on.

    A part for each step and one for each image, which grows with the area that stage 2 sees, a little faster than the
    width and, since a network of more groups has more channels, with a root of the groups. Fitted to what the compiled
    kernels do on one core of an Intel Xeon (results/reference/bench-cpu/cells.csv, g=4 and g=8 at 1x left out: other
    work disturbed them). PyTorch's own operators take several times as long.
    """
    protocol, recipe = run.protocol, run.protocol.recipe
    shrink = {"stride1": 1, "stride2": 2}.get(protocol.stem, 4)
    area = (protocol.resolution / shrink) ** 2
    steps = recipe.epochs * (protocol.data.train_images // recipe.batch_size)
    variant = run.variant
    per_image = area / 1024 * (1.2e-3 * variant.width + 1.7e-3 * variant.width**2) * variant.groups**0.31
    return float(steps * (0.002 + recipe.batch_size * per_image))


def estimate_seconds(plan: Plan, workers: int) -> float:
    """Rough wall time of what is left: `relative_cost`, scaled by how long finished runs of the plan took."""
    if not plan.todo:
        return 0.0
    scale = seconds_per_cost(plan.took)
    costs = [scale * relative_cost(job.run) for job in plan.todo]
    return max(sum(costs) / workers, *costs)


def seconds_per_cost(took: Iterable[tuple[Run, float]]) -> float:
    """What turns `relative_cost` into seconds here, from runs and how long they took; 1 where there are none."""
    pairs = [(seconds, relative_cost(run)) for run, seconds in took]
    return sum(seconds for seconds, _ in pairs) / sum(cost for _, cost in pairs) if pairs else 1.0


def write_plans(jobs: Iterable[Planned], results: Path, command: str) -> None:
    """Record what was asked for, by study and protocol, so that tables can tell a missing run from an unplanned one.

    From the jobs as composed, before merging: a run that two studies share stands in the plans of both.
    """
    together: dict[tuple[str, str], dict[str, Planned]] = {}
    for job in jobs:
        together.setdefault((job.config.study, job.run.protocol_id), {}).setdefault(job.run.run_id, job)
    for (study, protocol_id), unique in together.items():
        runs = list(unique.values())
        path = results / "plans" / f"{study}-{protocol_id}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "schema": SCHEMA,
            "study": study,
            "preset": runs[0].config.preset,
            "protocol_id": protocol_id,
            "protocol": plain(runs[0].run.protocol),
            "runs": [
                {
                    "run_id": job.run.run_id,
                    "cell_id": job.run.cell_id,
                    "seed": job.run.seed,
                    "variant": plain(job.run.variant),
                }
                for job in runs
            ],
        }
        known = read_json(path) or {}
        stored = json.loads(json.dumps(content))  # as it reads back: tuples are lists
        if any(known.get(key) != value for key, value in stored.items()):
            stamp = {"command": command, "written": timestamp()}
            write_json(path, {**content, **stamp})


def unfinished(plan: Plan, results: Path) -> Sequence[Planned]:
    """The planned runs that results do not hold; where there was nothing to do, none: they were read for the plan."""
    if not plan.todo:
        return []
    return [job for job in plan.planned if run_folder.result(results, job.run.run_id) is None]
