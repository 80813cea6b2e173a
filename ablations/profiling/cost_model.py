"""What training will cost: multiply-adds, hours, memory and disk of a plan, by arithmetic."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ablations.core.device import resolve_device
from ablations.core.errors import UserError
from ablations.core.json_subprocess import run_module_json
from ablations.core.run_spec import DataSpec, Run, to_json
from ablations.data.sets.imagenet_files import ILSVRC2012
from ablations.data.shard import WHOLE
from ablations.data.shard_source import ASPECT
from ablations.execution.scheduling import relative_cost
from ablations.sweep.plan import Plan, Planned, make_plan

PASSES = 6
"""How often training moves each value that a layer puts out: written and read forward, read, and its gradient written,
read and passed on backward. These networks are bound by that, not by arithmetic."""


ACTIVATION_BYTES = 2
"""Of each such value: bfloat16."""


EFFICIENCY = 1 / 3
"""Share of the data sheet's bandwidth and arithmetic that is reached. An assumption."""


BUILD_RATE = 400
"""Images/s that one core caches: 500 x 375 JPEGs, results/reference/bench-inputs."""


CORE = "CPU core"


CORE_SOURCE = "assumed: plan.relative_cost"


@dataclass(frozen=True)
class Device:
    """A type of GPU. `bandwidth`: bytes/s of its memory; `macs`: multiply-adds/s in dense bfloat16 (V100: float16)."""

    name: str
    bandwidth: float
    macs: float

    @property
    def source(self) -> str:
        """Where its speed comes from."""
        return f"assumed: a third of {self.bandwidth / 1e12:.3g} TB/s"


DEVICES = (
    Device("NVIDIA H200", 4.8e12, 495e12),
    Device("NVIDIA H100 SXM", 3.35e12, 495e12),
    Device("NVIDIA A100 80GB", 2.04e12, 156e12),
    Device("NVIDIA RTX 4090", 1.01e12, 82e12),
    Device("NVIDIA V100", 0.9e12, 62e12),
)
"""NVIDIA's data sheets; their FLOPs are two a multiply-add."""


def seconds_per_image(macs: int, activations: int, device: Device) -> float:
    """Training time of one image: the longer of moving its activations and of the arithmetic (a roofline)."""
    moving = PASSES * ACTIVATION_BYTES * activations / device.bandwidth
    return max(moving, 3 * macs / device.macs) / EFFICIENCY


TRAINING = 3
"""Training costs as many multiply-adds as so many forward passes: one forward, two backward."""


SD = 0.2
"""Points between seeds' errors that power is reckoned with, unless --sd says otherwise. An assumption: such spreads are
usual on ImageNet, the paper prints none."""


@dataclass(frozen=True)
class Network:
    """What one image costs a network: multiply-adds, parameters, and how many values its layers put out."""

    macs: int
    params: int
    activations: int


@dataclass(frozen=True)
class PlanCost:
    """What a plan costs.

    Attributes:
        networks: by cell_id.
        macs: multiply-adds of the runs that are left to train: training, and one evaluation.
        hours: of those runs on one device of each type, and where its speed comes from; of CPUs, of one core.
        cache_bytes: on the disk; cache_hours: of one core, to fill it.
        memory_bytes: of a GPU, by the largest network in training.
    """

    plan: Plan
    networks: dict[str, Network]
    macs: int
    hours: dict[str, tuple[float, str]]
    cache_bytes: int
    cache_hours: float
    memory_bytes: int
    budgets: tuple["Budget", ...]


@dataclass(frozen=True)
class Budget:
    """A smaller or larger plan: what it costs, as a share of the whole one, and what it would still decide.

    Attributes:
        decided: expected number of claims with the right verdict, of `claims` that its cells can test.
        least: gain in points that it finds with a chance of 80 %; None where it finds none.
    """

    seeds: int
    widths: tuple[float, ...]
    epochs: int
    runs: int
    share: float
    decided: float
    claims: int
    least: float | None


def cost(jobs: Sequence[Planned], results: Path, calibrate: bool = False, sd: float = SD) -> PlanCost:
    """What the jobs of a sweep cost; runs that results already hold cost nothing more.

    Raises:
        UserError: there is no job, or this machine cannot train one of the networks.
    """
    plan = make_plan(jobs, results)
    if not plan.planned:
        raise UserError("There is no run to reckon with.")
    cells = {job.run.cell_id: job.run for job in plan.planned}
    networks = weigh(cells)
    todo = [job.run for job in plan.todo]
    hours = {
        device.name: (sum(seconds(run, networks[run.cell_id], device) for run in todo) / 3600, device.source)
        for device in DEVICES
    }
    hours[CORE] = (sum(relative_cost(run) for run in todo) / 3600, CORE_SOURCE)
    if calibrate:
        name, speeds = measure(cells, plan.planned[0].config.runtime.device)
        took = sum(images(run) / speeds[run.cell_id] for run in todo) / 3600
        hours = {name: (took, "measured here"), **hours}
    config, first = plan.planned[0].config, plan.planned[0].run
    cached = cache_images(first.protocol.data)
    return PlanCost(
        plan=plan,
        networks=networks,
        macs=sum(macs(run, networks[run.cell_id]) for run in todo),
        hours=hours,
        cache_bytes=cache_bytes(first.protocol.data, getattr(config.data, "keep", "square")),
        cache_hours=cached / BUILD_RATE / 3600,
        memory_bytes=max(memory(run, networks[run.cell_id]) for run in cells.values()),
        budgets=budgets([job.run for job in plan.planned], networks, sd),
    )


def images(run: Run) -> int:
    """How many a run sees in training."""
    recipe = run.protocol.recipe
    batch = min(recipe.batch_size, run.protocol.data.train_images)
    return recipe.epochs * (run.protocol.data.train_images // batch) * batch


def macs(run: Run, network: Network) -> int:
    """Multiply-adds of a run: three forward passes an image in training, one in the evaluation at its end."""
    data = run.protocol.data
    tested = data.val_images if data.evaluate == "val" else data.test_images
    return network.macs * (TRAINING * images(run) + tested)


def seconds(run: Run, network: Network, device: Device) -> float:
    """Of a run's training on a type of GPU, by its data sheet."""
    return images(run) * seconds_per_image(network.macs, network.activations, device)


def memory(run: Run, network: Network) -> int:
    """Bytes that a GPU needs for a run: what the backward pass needs of every layer, weights, and input."""
    batch, side = run.protocol.recipe.batch_size, run.protocol.resolution
    return batch * (network.activations * ACTIVATION_BYTES + side * side * 3 * 8) + network.params * 12


def cache_images(data: DataSpec) -> int:
    """Images that are cached: all of ImageNet, of other sets those that are used."""
    if data.name == "imagenet":
        return ILSVRC2012.train + ILSVRC2012.val
    return data.train_images + data.val_images + data.test_images


def cache_bytes(data: DataSpec, keep: str) -> int:
    """Of a data set's cache: see `data.shards`."""
    square = data.cache_resolution**2 * data.channels
    train = ILSVRC2012.train if data.name == "imagenet" else data.train_images
    rest = cache_images(data) - train
    return int(train * square * (ASPECT if keep == WHOLE else 1) + rest * square)


def weigh(cells: dict[str, Run]) -> dict[str, Network]:
    """What an image costs each cell's network, found by a process of its own: torch takes seconds to load."""
    found = run_module_json("ablations.profiling.weigh", [to_json(run) for run in cells.values()])
    return {cell_id: Network(**one) for cell_id, one in zip(cells, found, strict=True)}


def measure(cells: dict[str, Run], device: str) -> tuple[str, dict[str, float]]:
    """Images/s in training of each cell here, and the name of the device; of a CPU, of one core."""
    place = resolve_device(device)
    try:
        found = run_module_json(
            "ablations.profiling.measure_networks", {"device": place, "runs": [to_json(run) for run in cells.values()]}
        )
    except RuntimeError as error:
        raise UserError(f"This machine cannot be measured: {error}") from None
    return found["name"], dict(zip(cells, found["images_per_second"], strict=True))


def budgets(runs: Sequence[Run], networks: dict[str, Network], sd: float) -> tuple[Budget, ...]:
    """The plan with other numbers of seeds, fewer widths and fewer epochs, the planned one first."""
    cells = {run.cell_id: run for run in runs}
    seeds = len({run.seed for run in runs})
    widths = tuple(sorted({run.variant.width for run in runs}, reverse=True))
    epochs = max(run.protocol.recipe.epochs for run in runs)
    narrow = [widths[k:] for k in range(1, len(widths))]
    ways = [(seeds, widths, epochs)]
    ways += [(n, widths, epochs) for n in (5, 3, 2, 1) if n != seeds]
    ways += [(seeds, some, epochs) for some in narrow]
    ways += [(seeds, widths, max(1, epochs // k)) for k in (2, 4, 8) if epochs >= k]
    ways += [(2, narrow[0], max(1, epochs // 4))] if narrow and epochs >= 4 else []
    spent = {cell_id: macs(run, networks[cell_id]) for cell_id, run in cells.items()}
    question = {
        "cells": [asdict(run.variant) for run in cells.values()],
        "sd": sd,
        "options": [{"seeds": n, "widths": some} for n, some, _ in ways],
    }
    found = []
    for (n, some, long), answer in zip(ways, run_module_json("analysis.claims.budget", question), strict=True):
        inside = [cell_id for cell_id, run in cells.items() if run.variant.width in some]
        share = n * sum(spent[cell_id] for cell_id in inside) / (seeds * sum(spent.values())) * long / epochs
        found.append(Budget(n, some, long, n * len(inside), share, **answer))
    return tuple(found)
