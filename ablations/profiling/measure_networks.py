"""Measures networks in a process of its own: multiply-adds, parameters and activations, and images/s in training.

Run by ablations/profiling/cost_model.py, which need not import torch then.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ablations.core.device import cpu_name
from ablations.core.json_subprocess import answer_json
from ablations.core.processes import tune
from ablations.core.run_spec import Run, from_json
from ablations.data import Splits
from ablations.data.ragged import RaggedImages
from ablations.training.trainer import TrainingEntry, build_model, train_together
from model import complexity
from model.backend import logits

CPU_BATCH, CPU_STEPS = 32, 3
GPU_STEPS = 8


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Measure the networks of runs.

    Args:
        question: `runs`, each as run.json has it; `folders` of families of the user's own; `device`, where speed is
            measured, or None: then it is not; `fused`, how many seeds of a cell train as one.

    Returns:
        `images`: of each run what `image_cost` gives. `speeds`: None, or `device`, its name, and `images_per_second` of
        each run.
    """
    tune(threads=1)
    runs, device = [from_json(text) for text in question["runs"]], question["device"]
    folders = tuple(map(Path, question["folders"]))
    images = [image_cost(run, folders) for run in runs]
    if not device:
        return {"images": images, "speeds": None}
    speeds = [measure_speed(run, device, question["fused"], folders) for run in runs]
    return {"images": images, "speeds": {"device": device_name(device), "images_per_second": speeds}}


def image_cost(run: Run, folders: tuple[Path, ...] = ()) -> dict[str, int]:
    """Multiply-adds of one image and parameters by `model.complexity`, and activations: the fields of ImageCost."""
    network = build_model(run, folders)
    shape = (run.protocol.data.channels, run.protocol.resolution, run.protocol.resolution)
    found = complexity(network, shape)
    return {"macs": found.macs, "params": found.params, "activations": count_activations(network, shape)}


def count_activations(network: nn.Module, shape: tuple[int, int, int]) -> int:
    """Output values of all layers for one image (C, H, W): roughly what training keeps for the backward pass."""
    count = 0

    def add(module: nn.Module, inputs: Any, output: Any) -> None:
        nonlocal count
        count += output[0].numel()

    leaves = [module for module in network.modules() if not list(module.children())]
    hooks = [leaf.register_forward_hook(add) for leaf in leaves]
    with torch.no_grad():
        logits(network.eval(), torch.zeros(1, *shape))
    for hook in hooks:
        hook.remove()
    return count


def measure_speed(run: Run, device: str, fused: int = 1, folders: tuple[Path, ...] = ()) -> float:
    """Images/s of the real trainer in its second epoch on noise; the first one warms up.

    Batches are the recipe's, on a CPU of at most CPU_BATCH images. `fused` seeds train as one network where that is
    possible: their images/s are added up.
    """
    batch = run.protocol.recipe.batch_size if device != "cpu" else min(CPU_BATCH, run.protocol.recipe.batch_size)
    count = batch * (GPU_STEPS if device != "cpu" else CPU_STEPS)
    recipe = replace(run.protocol.recipe, epochs=2, batch_size=batch, warmup_epochs=0.0)
    data = replace(run.protocol.data, train_images=count, test_images=2)
    short = replace(run, protocol=replace(run.protocol, data=data, recipe=recipe))
    told: list[dict[str, Any]] = []
    entries = [TrainingEntry(replace(short, seed=seed), observe=told.append, folders=folders) for seed in range(fused)]
    _, outcome = next(iter(train_together(entries, noise(short, count), device)))
    if isinstance(outcome, Exception):
        raise outcome
    together = fused if any("fused_with" in event for event in told) else 1
    return together * float(outcome.history[1]["images_per_second"])


def noise(run: Run, count: int) -> Splits:
    """Random images in place of a data set: not cut square, of ImageNet's usual shape, where crops are random."""
    data, generator = run.protocol.data, np.random.default_rng(0)
    side = data.cache_resolution
    squares = generator.integers(0, 256, (count, side, side, data.channels), dtype=np.uint8)
    images: np.ndarray | RaggedImages = squares
    if run.protocol.recipe.crop == "resized" and data.channels == 3:
        wide = side * 4 // 3
        pixels = generator.integers(0, 256, count * side * wide * 3, dtype=np.uint8)
        images = RaggedImages([pixels], [np.tile(np.array([[side, wide]]), (count, 1))])
    labels = generator.integers(0, data.classes, count)
    two, means = np.arange(2), np.full(data.channels, 127, np.float32)
    return Splits(images, labels, np.arange(count), squares[:2], labels[:2], two, (), means, means / 2)


def device_name(device: str) -> str:
    """The device that speeds are of: a GPU, or one core of a CPU."""
    if device == "cuda":
        return str(torch.cuda.get_device_name())
    if device != "cpu":
        return device
    return f"CPU core here ({cpu_name()})"


if __name__ == "__main__":
    answer_json(answer)
