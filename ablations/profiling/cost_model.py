"""What training will cost: multiply-adds, hours, memory and disk of a plan, by arithmetic."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ablations.core.device import resolve_device
from ablations.core.json_subprocess import run_module_json
from ablations.core.run_spec import DataSpec, Run, to_json
from ablations.data.sets.imagenet_files import ILSVRC2012
from ablations.data.shard import WHOLE
from ablations.data.shard_source import MEAN_ASPECT
from ablations.execution.job_queue import most_fused
from ablations.execution.scheduling import relative_cost
from ablations.store.looks import SeedPlan, seed_plan
from ablations.store.plans import contents
from ablations.sweep.plan import Plan, Planned, make_plan, planned_runs

TRAINING_PASSES = 3
"""Multiply-adds of a training step in forward passes: one forward, two backward."""

ACTIVATION_MOVES = 6
"""How often training moves each activation: written and read forward, read, and its gradient written, read and passed
on backward. These networks are bound by that, not by arithmetic."""

ACTIVATION_BYTES = 2
"""Bytes of an activation: bfloat16."""

EFFICIENCY = 1 / 3
"""Share of the data sheet's bandwidth and arithmetic that is reached. An assumption."""

BUILD_RATE = 400
"""Images/s that one core caches: 500 x 375 JPEGs, results/reference/bench-inputs."""


class Device(NamedTuple):
    """A type of GPU. `bandwidth`: bytes/s of its memory; `macs`: multiply-adds/s in dense bfloat16 (V100: float16)."""

    name: str
    bandwidth: float
    macs: float


DEVICES = (
    Device("NVIDIA H200", 4.8e12, 495e12),
    Device("NVIDIA H100 SXM", 3.35e12, 495e12),
    Device("NVIDIA A100 80GB", 2.04e12, 156e12),
    Device("NVIDIA RTX 4090", 1.01e12, 82e12),
    Device("NVIDIA V100", 0.9e12, 62e12),
)
"""NVIDIA's data sheets; their FLOPs are two a multiply-add."""


@dataclass(frozen=True)
class ImageCost:
    """A network for one image: multiply-adds of a forward pass, parameters, and output values of all its layers."""

    macs: int
    params: int
    activations: int


@dataclass(frozen=True)
class Budget:
    """A smaller or larger plan: what it costs, as a share of the whole one, and what it would still decide.

    Attributes:
        decided: expected number of claims with the right verdict, of `claims` that its cells can test; None where it is
            not known how far seeds spread.
        least: gain in points that it finds with a chance of 80 %; None where it finds none.
    """

    seeds: int
    widths: tuple[float, ...]
    epochs: int
    runs: int
    share: float
    decided: float | None
    claims: int
    least: float | None


@dataclass(frozen=True)
class PlanCost:
    """The cost of training a plan; runs that are done cost nothing.

    Attributes:
        images: the cost of one image by cell_id.
        macs: multiply-adds of the runs that are left: training, and one evaluation.
        hours: of those runs by device: hours on one device (of a CPU: on one core), and where its speed comes from.
        cache_bytes: of the data cache on the disk.
        cache_hours: of one core, to build it.
        memory_bytes: GPU memory that the largest network needs in training.
        budgets: the plan with fewer or more seeds, widths and epochs; the plan itself comes first.
        spread: between seeds, and where it was measured, in words; empty where it is not known.
        looks: what a plan of looks would save, of analysis.claims.budget.sequential; None where that is not known.
        unknown: claims that can be tested, for which no effect is printed: nothing is expected of them.
    """

    plan: Plan
    images: dict[str, ImageCost]
    macs: int
    hours: dict[str, tuple[float, str]]
    cache_bytes: int
    cache_hours: float
    memory_bytes: int
    budgets: tuple[Budget, ...]
    spread: str
    looks: dict[str, Any] | None
    unknown: int


def plan_cost(
    jobs: Sequence[Planned],
    results: Path,
    calibrate: bool = False,
    sd: float | None = None,
    definitions: Mapping[str, Mapping[str, Any]] | None = None,
) -> PlanCost:
    """The cost of the jobs of a sweep.

    Args:
        results: the results folder; runs that it holds cost nothing more.
        calibrate: measure the speed of this machine, too.
        sd: standard deviation between seeds' errors, in points; where not given, that which was measured.
        definitions: of the studies by name, which say what they claim and their looks; without them no claim counts.

    Raises:
        UserError: this machine cannot build or train one of the networks.
    """
    plan = make_plan(jobs, results)
    cells = {job.run.cell_id: job.run for job in plan.planned}
    config, data = plan.planned[0].config, plan.planned[0].run.protocol.data
    sources = list({str(job.source): None for job in plan.planned if job.source})
    fused = min(most_fused(config.runtime), len({job.run.seed for job in plan.planned})) if calibrate else 1
    device = resolve_device(config.runtime.device) if calibrate else None
    images, speeds = measure_networks(cells, device, sources, fused)
    todo = [job.run for job in plan.todo]
    hours = {}
    for gpu in DEVICES:
        seconds = sum(training_images(run) * seconds_per_image(images[run.cell_id], gpu) for run in todo)
        hours[gpu.name] = (seconds / 3600, f"assumed: a third of {gpu.bandwidth / 1e12:.3g} TB/s")
    hours["CPU core"] = (sum(relative_cost(run) for run in todo) / 3600, "assumed: scheduling.relative_cost")
    if speeds:
        images_per_second = dict(zip(cells, speeds["images_per_second"], strict=True))
        seconds = sum(training_images(run) / images_per_second[run.cell_id] for run in todo)
        together = f", {fused} seeds of a cell fused" if fused > 1 else ""
        hours = {speeds["device"]: (seconds / 3600, f"measured here{together}"), **hours}
    plans = list(contents(planned_runs(jobs, definitions), definitions)) if definitions else []
    spread, options, saved, unknown = budgets([job.run for job in plan.planned], images, results, sd, plans)
    return PlanCost(
        plan=plan,
        images=images,
        macs=sum(run_macs(run, images[run.cell_id]) for run in todo),
        hours=hours,
        cache_bytes=cache_bytes(data, getattr(config.data, "keep", "square")),
        cache_hours=cache_images(data) / BUILD_RATE / 3600,
        memory_bytes=max(gpu_memory(run, images[run.cell_id]) for run in cells.values()),
        budgets=options,
        spread=spread,
        looks=saved,
        unknown=unknown,
    )


def measure_networks(
    cells: dict[str, Run], device: str | None, sources: Sequence[str] = (), fused: int = 1
) -> tuple[dict[str, ImageCost], dict[str, Any] | None]:
    """The cost of one image of each cell, and with a device the `speeds` on it (see measure_networks.py), seeds fused.

    Measured in a process of its own: torch takes seconds to import.

    Args:
        sources: kept copies of the folders of families of the user's own.

    Raises:
        UserError: a network cannot be built or trained here.
    """
    runs = [to_json(run) for run in cells.values()]
    question = {"device": device, "fused": fused, "runs": runs, "folders": list(sources)}
    failed = "The networks of this plan cannot be measured on this machine"
    answer = run_module_json("ablations.profiling.measure_networks", question, failed)
    images = {cell_id: ImageCost(**found) for cell_id, found in zip(cells, answer["images"], strict=True)}
    return images, answer["speeds"]


def training_images(run: Run) -> int:
    """Images that a run sees in training, over all epochs; an incomplete last batch is left out."""
    recipe, available = run.protocol.recipe, run.protocol.data.train_images
    batch = min(recipe.batch_size, available)
    return recipe.epochs * (available // batch) * batch


def run_macs(run: Run, image: ImageCost) -> int:
    """Multiply-adds of a run: training, and the evaluation at its end."""
    data = run.protocol.data
    evaluated = data.val_images if data.evaluate == "val" else data.test_images
    return image.macs * (TRAINING_PASSES * training_images(run) + evaluated)


def seconds_per_image(image: ImageCost, device: Device) -> float:
    """Training time of one image: the longer of moving its activations and of the arithmetic (a roofline)."""
    moving = ACTIVATION_MOVES * ACTIVATION_BYTES * image.activations / device.bandwidth
    return max(moving, TRAINING_PASSES * image.macs / device.macs) / EFFICIENCY


def gpu_memory(run: Run, image: ImageCost) -> int:
    """Bytes that a GPU needs for a run: activations for the backward pass, weights and optimizer, and input."""
    batch, side = run.protocol.recipe.batch_size, run.protocol.resolution
    return batch * (image.activations * ACTIVATION_BYTES + side * side * 3 * 8) + image.params * 12


def cache_images(data: DataSpec) -> int:
    """Images in the cache: all of ImageNet, of other sets those that are used."""
    if data.name == "imagenet":
        return ILSVRC2012.train + ILSVRC2012.val
    return data.train_images + data.val_images + data.test_images


def cache_bytes(data: DataSpec, keep: str) -> int:
    """Bytes of a data set's cache; `keep` as in conf/data: squares, or whole images for training."""
    square = data.cache_resolution**2 * data.channels
    train = ILSVRC2012.train if data.name == "imagenet" else data.train_images
    rest = cache_images(data) - train
    return int(train * square * (MEAN_ASPECT if keep == WHOLE else 1) + rest * square)


def width(run: Run) -> float:
    """The run's axis `width`; 1 where its family has none."""
    value = run.variant.axes.get("width", 1.0)
    return float(value) if isinstance(value, int | float) else 1.0


def budgets(
    runs: Sequence[Run],
    images: dict[str, ImageCost],
    results: Path,
    sd: float | None,
    plans: Sequence[Mapping[str, Any]],
) -> tuple[str, tuple[Budget, ...], dict[str, Any] | None, int]:
    """`spread`, `budgets`, `looks`, `unknown` of PlanCost: with other numbers of seeds, fewer widths, fewer epochs.

    Args:
        plans: of the studies, as they would be written; where none has a plan of looks, the seeds give one.
    """
    cells = {run.cell_id: run for run in runs}
    seeds = len({run.seed for run in runs})
    widths = tuple(sorted({width(run) for run in runs}, reverse=True))
    epochs = max(run.protocol.recipe.epochs for run in runs)
    narrower = [widths[k:] for k in range(1, len(widths))]
    options = [(seeds, widths, epochs)]
    options += [(n, widths, epochs) for n in (5, 3, 2, 1) if n != seeds]
    options += [(seeds, kept, epochs) for kept in narrower]
    options += [(seeds, widths, max(1, epochs // k)) for k in (2, 4, 8) if epochs >= k]
    options += [(2, narrower[0], max(1, epochs // 4))] if narrower and epochs >= 4 else []
    spent = {cell_id: run_macs(run, images[cell_id]) for cell_id, run in cells.items()}
    looks = next(filter(None, (seed_plan(plan.get("definition", {}).get("seeds")) for plan in plans)), None)
    looks = looks or (SeedPlan(min(3, seeds - 1), seeds) if seeds > 2 else None)
    question = {
        "plans": list(plans),
        "sd": sd,
        "results": str(results.resolve()),
        "protocol_id": runs[0].protocol_id,
        "data": runs[0].protocol.data.name,
        "plan": looks.numbers if looks else None,
        "options": [{"seeds": n, "widths": kept} for n, kept, _ in options],
    }
    found = []
    said = run_module_json("analysis.claims.budget", question)
    for (n, kept, length), answer in zip(options, said["options"], strict=True):
        inside = [cell_id for cell_id, run in cells.items() if width(run) in kept]
        share = n * sum(spent[cell_id] for cell_id in inside) / (seeds * sum(spent.values())) * length / epochs
        known = answer or {"decided": None, "claims": 0, "least": None}
        found.append(Budget(n, kept, length, n * len(inside), share, **known))
    return said["spread"] or "", tuple(found), said["plan"], said["unknown"]
