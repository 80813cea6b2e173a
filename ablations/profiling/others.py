"""Inference time of the networks that the paper's Table 8 sets beside ShuffleNet: MobileNet 1.0 and AlexNet."""

from dataclasses import asdict

import numpy as np
import torch
from torch import nn

from ablations.profiling.latency_rows import Row, quartiles
from model.family import Input
from model.timing import entries, measure, settle_statistics

STEMS = {"mobilenet": 32, "alexnet": 96}
"""Channels of the first convolution."""


def alexnet(classes: int = 1000) -> nn.Module:
    """AlexNet as published (Krizhevsky, Sutskever, Hinton, NIPS 2012, section 3): two groups, response normalisation.

    Takes (N, 3, 224, 224); 720 M multiply-adds by the paper's Table 8.
    """

    def conv(before: int, after: int, size: int, groups: int = 1, stride: int = 1, padding: int = 1) -> list[nn.Module]:
        return [nn.Conv2d(before, after, size, stride, padding, groups=groups), nn.ReLU(inplace=True)]

    normalised = [nn.LocalResponseNorm(5, 1e-4, 0.75, 2.0), nn.MaxPool2d(3, 2)]
    return nn.Sequential(
        *conv(3, 96, 11, stride=4, padding=2),
        *normalised,
        *conv(96, 256, 5, padding=2, groups=2),
        *normalised,
        *conv(256, 384, 3),
        *conv(384, 384, 3, groups=2),
        *conv(384, 256, 3, groups=2),
        nn.MaxPool2d(3, 2),
        nn.Flatten(),
        *(nn.Linear(256 * 6 * 6, 4096), nn.ReLU(inplace=True), nn.Linear(4096, 4096), nn.ReLU(inplace=True)),
        nn.Linear(4096, classes),
    ).eval()


def measure_others(name: str, given: Input, rounds: int, seconds: float) -> list[Row]:
    """Rows of latency.csv for one image at a time, by PyTorch, in the memory format that is faster for each network."""
    from model import build

    nets = {
        "mobilenet": settle_statistics(
            build("mobilenet", width=1.0, **given.keywords), given.channels, given.resolution
        ),
        "alexnet": alexnet(given.classes),
    }
    mine = entries(list(nets.values()), torch.randn(1, given.channels, given.resolution, given.resolution))
    taken = measure(mine, rounds, seconds)
    found: dict[int, Row] = {}
    for entry, times in sorted(zip(mine, taken, strict=True), key=lambda pair: -float(np.median(pair[1]))):
        found[entry.network] = {  # the last of a network is its fastest
            **{"input": name, **asdict(given), "batch": 1},
            **{"engine": entry.engine, "memory_format": entry.memory_format},
            **{"structure": list(nets)[entry.network], "width": 1.0, "groups": 1, "shuffle": True},
            "stem_channels": STEMS[list(nets)[entry.network]],
            **quartiles(("median_ms", "low_ms", "high_ms"), 1000 * times),
            "rounds": taken.shape[1],
        }
    return [found[k] for k in sorted(found)]
