"""The same work for every contestant: its protocol, its images, the commands that do it, and what they leave behind."""

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from ablations import data
from ablations.core.config import Config
from ablations.core.paths import ROOT
from ablations.core.run_spec import Run
from ablations.sweep.hydra_app import compose
from benchmarks.environment import cores
from benchmarks.reference_settings import SHARED, Settings

GROUPS = (1, 2, 3, 4, 8)
WIDTHS = (0.25, 0.5, 1.0)

CONTESTANTS = {"reference": "shufflenet", "pytorchcv": "pytorchcv", "blog": "blog", "ours": "shufflenet"}
"""Who trains, and which network: the first three in the reference loop, the last by `python -m ablations`."""


@dataclass(frozen=True)
class Work:
    """What everyone trains: CIFAR-10 by the preset `cifar10`, on a slice of its images."""

    data: Path
    cache: Path
    train_images: int = 2560
    test_images: int = 1000
    epochs: int = 2
    device: str = "cpu"
    groups: tuple[int, ...] = GROUPS
    widths: tuple[float, ...] = WIDTHS
    extra: tuple[str, ...] = ()  # overrides besides

    def overrides(self) -> list[str]:
        """As `make ablation-groups` and `python -m ablations` take them."""
        amounts = [f"data.train_images={self.train_images}", f"data.test_images={self.test_images}"]
        places = [f'data.dir="{self.data.resolve()}"', f'data.cache_dir="{self.cache.resolve()}"']
        warmup = ["recipe.warmup_epochs=0"] if self.epochs < 2 else []  # of the preset's one epoch none would be left
        recipe = [f"recipe.epochs={self.epochs}", *warmup]
        return ["preset=cifar10", *amounts, *recipe, f"runtime.device={self.device}", *places, *self.extra]


@dataclass(frozen=True)
class Cell:
    """One run as its contestant noted it.

    seconds: of the whole machine, from its first to its last line; where several train at once, its part.
    images_per_second: of training steps, of one core (or of the GPU).
    """

    groups: int
    width: float
    seconds: float
    images_per_second: float
    error: float


@dataclass(frozen=True)
class Turn:
    """One command of one contestant: wall seconds from its start to its end, and its runs."""

    contestant: str
    repeat: int
    seconds: float
    cells: list[Cell] = field(default_factory=list)


def composed(work: Work, groups: int, width: float) -> tuple[Config, Run]:
    """A cell's configuration and run, seed 0, as the harness composes it."""
    (job,) = compose([*work.overrides(), f"model.groups={groups}", f"model.width={width}", "seed=0"])
    return job.config, job.run


def choose_images(work: Work, path: Path) -> None:
    """Prepare the harness's cache, and note which images it takes, and their mean and deviation, for the others."""
    config, run = composed(work, work.groups[0], work.widths[0])
    splits = data.load(data.prepare(config.data, run.protocol.data), run.protocol.data)
    np.savez(path, train=splits.train_index, test=splits.eval_index, mean=splits.mean, std=splits.std)


def command(contestant: str, work: Work, images: Path, out: Path) -> list[str]:
    """What a user would type to have the work done."""
    sizes, counts = (",".join(map(str, values)) for values in (work.widths, work.groups))
    if contestant == "ours":
        grid = ["ablation=groups", f"model.width={sizes}", f"model.groups={counts}", "seed=0"]
        return [sys.executable, "-m", "ablations", "-m", *grid, *work.overrides(), f"runtime.results_dir={out}"]
    settings = {
        **asdict(reference_settings(contestant, work, images, out)),
        **{"groups": counts, "width": sizes},
        "hydra/launcher": "basic",
        "hydra.sweep.dir": out / "hydra",
    }
    return [sys.executable, "-m", "benchmarks.reference_loop", "-m", *(f"{k}={v}" for k, v in settings.items())]


def reference_settings(contestant: str, work: Work, images: Path, out: Path) -> Settings:
    """The first cell of the work as the reference loop takes it: the recipe is the harness's own.

    Raises:
        SystemExit: the recipe has what the loop does not know.
    """
    _, run = composed(work, work.groups[0], work.widths[0])
    recipe = run.protocol.recipe
    if recipe.crop not in ("none", "pad") or recipe.jitter or recipe.decay != "matrices":
        raise SystemExit("The reference loop knows crops by padding and no others, no jitter, and decay=matrices only.")
    return Settings(
        data=str(work.data.resolve()),
        images=str(images),
        out=str(out / "runs"),
        network=CONTESTANTS[contestant],
        groups=work.groups[0],
        width=work.widths[0],
        stem=run.protocol.stem,
        device=work.device,
        precision=run.protocol.precision,
        workers=min(cores(), 8),
        threads=cores(),
        pad=recipe.pad if recipe.crop == "pad" else 0,
        **{key: getattr(recipe, key) for key in SHARED},
    )


def take_turn(contestant: str, work: Work, repeat: int, images: Path, out: Path) -> Turn:
    """Have a contestant do the work.

    Raises:
        SystemExit: its command failed; with what it said.
    """
    words = command(contestant, work, images, out)
    out.mkdir(parents=True, exist_ok=True)
    log = out / "said.txt"
    with log.open("w") as file:
        began = time.perf_counter()
        done = subprocess.run(words, cwd=ROOT, env=wanted_surroundings(), stdout=file, stderr=subprocess.STDOUT)
        seconds = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{contestant} failed:\n{log.read_text()[-3000:]}")
    cells = ours(out, work) if contestant == "ours" else reference(out, work)
    wanted = len(work.widths) * len(work.groups)
    if len(cells) != wanted:
        raise SystemExit(f"{contestant} left {len(cells)} runs in place of {wanted}.")
    return Turn(contestant, repeat, seconds, cells)


def wanted_surroundings() -> dict[str, str]:
    """The environment of a contestant: this process's, but with nothing said on threads, as a user has it."""
    kept = {key: value for key, value in os.environ.items() if key not in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), kept.get("PYTHONPATH"))))}


def ours(results: Path, work: Work) -> list[Cell]:
    """The runs of a results folder. On the CPU a worker for each core trains with one thread."""
    at_once = min(cores(), len(work.groups)) if work.device == "cpu" else 1
    found = []
    for path in sorted(results.glob("runs/*/result.json")):
        result, run = (json.loads(file.read_text()) for file in (path, path.parent / "run.json"))
        variant, rate = run["variant"], result["images_per_second"]
        seconds = result["seconds"]["total"] / at_once
        found.append(Cell(variant["groups"], variant["width"], seconds, rate, result["error"]))
    return found


def reference(out: Path, work: Work) -> list[Cell]:
    """The runs of the reference loop, which trains one at a time on all cores."""
    share = cores() if work.device == "cpu" else 1
    found = []
    for path in sorted(out.glob("runs/*/result.json")):
        record = json.loads(path.read_text())
        rate = record["images_per_epoch"] * len(record["epoch_seconds"]) / sum(record["epoch_seconds"])
        found.append(Cell(record["groups"], record["width"], record["seconds"], rate / share, record["error"]))
    return found
