"""Small descriptions of runs that tests start from."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ablations import data as data_sets
from ablations.core.config import DataConfig
from ablations.core.run_spec import Axes, DataSpec, Protocol, Recipe, Run, Variant
from ablations.data import Splits
from ablations.store import run_folder
from analysis.runs.cell import Cell
from model.widths import resolve_stem

RECIPE = Recipe(
    epochs=2,
    batch_size=16,
    lr=0.1,
    momentum=0.9,
    nesterov=True,
    weight_decay=1e-4,
    decay="matrices",
    label_smoothing=0.0,
    warmup_epochs=0.0,
    crop="none",
    pad=0,
    area=(1.0, 1.0),
    flip=False,
    jitter=0.0,
)
DATA = DataSpec(
    name="random",
    digest="0" * 16,
    cache_resolution=16,
    channels=1,
    classes=4,
    train_images=64,
    val_images=0,
    test_images=40,
    evaluate="test",
)


def shufflenet(groups: int, width: float, shuffle: bool, stem_channels: int, structure: str = "shufflenet") -> Variant:
    """A network of ShuffleNet's axes, whether it can be built or not."""
    values = {"groups": groups, "width": width, "shuffle": shuffle, "stem_channels": stem_channels}
    return Variant(structure, Axes(values))


def canonical(one: Variant) -> Variant:
    """At one group the shuffle is the identity, so it counts as on."""
    return one.with_axes(shuffle=True) if one.axes["groups"] == 1 else one


def variant(groups: int = 1, width: float = 0.25, shuffle: bool = True) -> Variant:
    return shufflenet(groups, width, shuffle, resolve_stem(groups, width, "stride2", None))


def run(seed: int = 0, recipe: dict[str, Any] | None = None, data: dict[str, Any] | None = None, **what: Any) -> Run:
    """A run on 16x16 grey noise; `what` goes to `variant`."""
    spec = replace(DATA, **(data or {}))
    protocol = Protocol(spec, replace(RECIPE, **(recipe or {})), spec.cache_resolution, "stride2", "float32")
    return Run(variant(**what), protocol, seed)


def pixels(spec: DataSpec, images: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Learnable noise: (N, H, W, C) uint8, brighter in one quadrant for each class; labels (N,) int64."""
    source = np.random.default_rng(seed)
    side = spec.cache_resolution
    labels = np.arange(images) % spec.classes
    grey = source.integers(0, 128, (images, side, side, spec.channels), dtype=np.uint8)
    half = side // 2
    for k, label in enumerate(labels):
        top, left = (label // 2) % 2 * half, label % 2 * half
        grey[k, top : top + half, left : left + half] += 100
    return grey, labels.astype(np.int64)


def splits(spec: DataSpec, seed: int = 0) -> Splits:
    """Training and test images of `pixels`."""
    train_images, train_labels = pixels(spec, spec.train_images, seed)
    test_images, test_labels = pixels(spec, spec.test_images, seed + 1)
    return Splits(
        train_images=train_images,
        train_labels=train_labels,
        train_index=np.arange(spec.train_images),
        eval_images=test_images,
        eval_labels=test_labels,
        eval_index=np.arange(spec.test_images),
        class_names=("a", "b", "c", "d"),
        mean=train_images.mean((0, 1, 2), dtype=np.float32),
        std=train_images.std((0, 1, 2), dtype=np.float32),
    )


def prepared(config: DataConfig) -> Splits:
    """A data set's splits from its configuration."""
    spec = data_sets.resolve(config)
    return data_sets.load(data_sets.prepare(config, spec), spec)


def train(
    run: Run,
    splits: Splits,
    device: str = "cpu",
    checkpoint_path: Path | None = None,
    evaluate_every: int = 0,
    observe: Callable[[dict[str, Any]], None] = lambda event: None,
    stop: Callable[[], bool] = lambda: False,
    **how: Any,
) -> Any:
    """Train one run to its end, and return its TrainResult; what ended it otherwise is raised."""
    from ablations.training.trainer import TrainingEntry, train_together  # seconds to import torch

    entry = TrainingEntry(run, checkpoint_path, observe, stop)
    ((_, outcome),) = train_together([entry], splits, device, evaluate_every, **how)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def shufflenet_cell(groups: int, width: float, shuffle: bool = True, structure: str = "shufflenet") -> Cell:
    """A cell as claims name it."""
    return Cell.of({"structure": structure, "width": width, "groups": groups, "shuffle": shuffle})


def finish(results: Path, one: Run, seconds: float = 1.0) -> None:
    """Store a run as done, without weights and metrics."""
    folder = run_folder.begin(results, one, {})
    run_folder.write_metrics(folder, [])
    run_folder.finish(folder, {"run_id": one.run_id, "error": 0.1, "seconds": {"total": seconds}}, np.ones(8, bool))
