"""Images/s of the cache's build and of training input, against torchvision: `python -m benchmarks.inputs`.

The same JPEGs and the paper's augmentation three ways, one after the other and again, each in a process of its own
bound to one core: torchvision's ImageFolder and DataLoader (RandomResizedCrop, RandomHorizontalFlip, ColorJitter,
ToTensor, Normalize; without worker processes, which would only add to its cost), the build of the cache, and batches
out of the cache as the trainer takes them, normalised. Rates are images by second of processor time, for other programs
share the cores; files lie in the page cache. Imports are not counted.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ablations.core.paths import ROOT

WAYS = ("torchvision", "build", "input")
BATCH = 128
TARGETS = {"build": 1.5, "input": 5.0}
"""Times torchvision's rate that each must reach."""


def torchvision(tree: Path, cache: Path, sides: tuple[int, int]) -> Callable[[], int]:
    """One pass over the training images as PyTorch's own ImageNet example loads them."""
    from torch.utils.data import DataLoader
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    steps = [
        transforms.RandomResizedCrop(sides[1], scale=(0.25, 1.0)),
        transforms.RandomHorizontalFlip(),
        transforms.ColorJitter(0.4, 0.4, 0.4),
        transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ]
    loader = DataLoader(ImageFolder(str(tree / "train"), transforms.Compose(steps)), BATCH, shuffle=True)
    return lambda: sum(len(labels) for _, labels in loader)


def config(tree: Path, cache: Path, sides: tuple[int, int]) -> Any:
    """The tree as a data set that is kept whole."""
    from ablations.core.config import FolderConfig

    return FolderConfig(
        name="imagefolder",
        dir=str(tree),
        cache_dir=str(cache),
        cache_resolution=sides[0],
        resolution=sides[1],
        keep="whole",
    )


def build(tree: Path, cache: Path, sides: tuple[int, int]) -> Callable[[], int]:
    """The cache's build, from listing the folder to the last checksum."""
    import torch  # noqa: F401  imports are not counted

    from ablations import data
    from ablations.data.decode import decoders

    decoders(torchcodec=True)

    def once() -> int:
        shutil.rmtree(cache, ignore_errors=True)
        one = config(tree, cache, sides)
        spec = data.resolve(one)
        data.prepare(one, spec)
        return spec.train_images + spec.test_images

    return once


def training_input(tree: Path, cache: Path, sides: tuple[int, int]) -> Callable[[], int]:
    """One pass over the training images as the trainer makes it: drawn, cropped, flipped, jittered, normalised."""
    import torch

    from ablations import data
    from ablations.core.run_spec import Protocol
    from ablations.training.evaluate import normalise
    from ablations.training.input.augment import draw_epoch
    from ablations.training.input.batches import to_batch_loader
    from tests.make import run

    one = config(tree, cache, sides)
    spec = data.resolve(one)
    feed = to_batch_loader(data.load(data.prepare(one, spec), spec), torch.device("cpu"))
    recipe = run(recipe={"crop": "resized", "area": (0.25, 1.0), "flip": True, "jitter": 0.4}).protocol.recipe
    protocol = Protocol(spec, recipe, sides[1], "imagenet", "float32")
    images = len(feed.train_index)

    def once() -> int:
        draws = draw_epoch(0, 0, images)
        for start in range(0, images, BATCH):
            pixels, _ = feed.batch(draws, slice(start, min(start + BATCH, images)), protocol)
            normalise(pixels, feed.stats)
        return images

    return once


def measure(way: str, tree: Path, cache: Path, sides: tuple[int, int]) -> None:
    """Print images, seconds of processor time and of the clock of one pass, as JSON."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    from ablations.core.processes import tune

    tune(threads=1)  # as the harness's workers do; it helps torchvision too
    work = {"torchvision": torchvision, "build": build, "input": training_input}[way](tree, cache, sides)
    if way != "build":
        work()  # once before, so that the first touch of files is nobody's cost
    began, spent = time.perf_counter(), time.process_time()
    images = work()
    print(json.dumps([images, time.process_time() - spent, time.perf_counter() - began]))


def compare(name: str, tree: Path, sides: tuple[int, int], rounds: int, cache: Path) -> list[dict[str, Any]]:
    """Rounds of all ways in turn: a row each with rates and the ratio to torchvision's of the same round."""
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way in WAYS:
            command = [sys.executable, "-m", "benchmarks.inputs", "--measure", way, "--tree", str(tree)]
            command += ["--cache", str(cache), "--sides", *map(str, sides)]
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
            done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True, env=environment)
            images, seconds, _ = json.loads(done.stdout.splitlines()[-1])
            rates[way].append(images / seconds)
    found = []
    for way in WAYS:
        ratios = [mine / theirs for mine, theirs in zip(rates[way], rates["torchvision"], strict=True)]
        found.append(
            {
                "images": name,
                "way": way,
                "images_per_core_second": round(statistics.median(rates[way])),
                "ratio": round(statistics.median(ratios), 2),
                "ratio_least": round(min(ratios), 2),
                "ratio_most": round(max(ratios), 2),
                "target": TARGETS.get(way, ""),
                "rounds": rounds,
            }
        )
    return found


def show(new: list[dict[str, Any]], path: Path | None, all_rows: list[dict[str, Any]] | None = None) -> None:
    """Print rows as they come, and write all of them so far."""
    for row in new:
        print("  ".join(f"{row[key]!s:>24}" if key == "images" else f"{row[key]!s:>11}" for key in row), flush=True)
    if path:
        import pandas as pd  # not in the processes that measure

        pd.DataFrame(all_rows or new).to_csv(path, index=False)


def main() -> int:
    """Print the table, write it where --csv says; exit code 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", type=Path, help="folder of Tiny-ImageNet (train/, val/), measured besides")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--photos", type=int, default=1000, help="made pictures of 500 x 375")
    parser.add_argument("--csv", type=Path, help="file for the table")
    parser.add_argument("--measure", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--tree", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--cache", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--sides", type=int, nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.measure, arguments.tree, arguments.cache, tuple(arguments.sides))
        return 0
    from benchmarks.photos import plant

    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sizes = list(plant(folder / "photos", 10, arguments.photos // 10, arguments.photos // 50))
        print(f"{len(sizes)} made pictures of {sum(sizes) / len(sizes) / 1000:.0f} kB", flush=True)
        rows += compare("500 x 375", folder / "photos", (256, 224), arguments.rounds, folder / "cache")
        show(rows, arguments.csv)
        shutil.rmtree(folder / "photos")
        if arguments.tiny:
            rows += compare("64 x 64 (Tiny-ImageNet)", arguments.tiny, (64, 64), arguments.rounds, folder / "tiny")
            show(rows[len(WAYS) :], arguments.csv, rows)
    return int(any(row["target"] and row["ratio"] < row["target"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
