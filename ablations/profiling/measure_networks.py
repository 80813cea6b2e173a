"""Images/s in training, measured: the real trainer for two short epochs of noise; asked in a process of its own."""

import json
import platform
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ablations.core.processes import tune
from ablations.core.run_spec import Run, from_json
from ablations.data import Splits
from ablations.data.ragged import RaggedImages
from ablations.training.trainer import build_model, train
from model import complexity
from model.backend import logits

CPU_BATCH, CPU_STEPS = 32, 3
GPU_STEPS = 8


def speed(run: Run, device: str) -> float:
    """Images/s of the second epoch; the first warms up. Batches are the recipe's, at most CPU_BATCH on a CPU."""
    batch = run.protocol.recipe.batch_size if device != "cpu" else min(CPU_BATCH, run.protocol.recipe.batch_size)
    count = batch * (GPU_STEPS if device != "cpu" else CPU_STEPS)
    recipe = replace(run.protocol.recipe, epochs=2, batch_size=batch, warmup_epochs=0.0)
    spec = replace(run.protocol.data, train_images=count, test_images=2)
    short = replace(run, protocol=replace(run.protocol, data=spec, recipe=recipe))
    trained = train(short, noise(short, count), device)
    return float(trained.history[1]["images_per_second"])


def noise(run: Run, count: int) -> Splits:
    """Random images in the place of a data set: whole ones of ImageNet's usual shape where crops are random."""
    spec, source = run.protocol.data, np.random.default_rng(0)
    side = spec.cache_resolution
    squares = source.integers(0, 256, (count, side, side, spec.channels), dtype=np.uint8)
    images: np.ndarray | RaggedImages = squares
    if run.protocol.recipe.crop == "resized" and spec.channels == 3:
        wide = side * 4 // 3
        pixels = source.integers(0, 256, count * side * wide * 3, dtype=np.uint8)
        images = RaggedImages([pixels], [np.tile(np.array([[side, wide]]), (count, 1))])
    labels = source.integers(0, spec.classes, count)
    few, means = np.arange(2), np.full(spec.channels, 127, np.float32)
    return Splits(images, labels, np.arange(count), squares[:2], labels[:2], few, (), means, means / 2)


def name(device: str) -> str:
    """What the numbers are of: a GPU, or one core."""
    if device == "cuda":
        return str(torch.cuda.get_device_name())
    if device != "cpu":
        return device
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine()
    return f"CPU core here ({model})"


def main(question: dict[str, Any]) -> dict[str, Any]:
    """The answer to `cost.measure`."""
    tune(threads=1)
    speeds = [speed(from_json(text), question["device"]) for text in question["runs"]]
    return {"name": name(question["device"]), "images_per_second": speeds}


if __name__ == "__main__":
    print(json.dumps(main(json.load(sys.stdin))))


def weigh(run: Run) -> dict[str, int]:
    """Multiply-adds and parameters by `model.complexity`, and how many values the layers put out in training."""
    network = build_model(run)
    shape = (run.protocol.data.channels, run.protocol.resolution, run.protocol.resolution)
    found = complexity(network, shape)
    return {"macs": found.macs, "params": found.params, "activations": activations(network, shape)}


def activations(network: nn.Module, shape: tuple[int, int, int]) -> int:
    """Values that all layers put out for one image: what training keeps for its backward pass, roughly."""
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
