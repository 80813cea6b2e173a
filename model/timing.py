"""Inference time of networks that take turns, so that a machine that changes its speed does so for all of them."""

import gc
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from model.backend import describe, evaluation_scorer, fold, logits, native

PYTORCH = "pytorch"
"""The engine that computes every network, operator by operator (eager)."""

FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
"""Memory formats that PyTorch is tried with."""

INNERMOST = "images innermost"
"""What the compiled kernels have in the place of a memory format."""

TURN, CALLS = 0.02, 20
"""A turn is as many calls as take so many seconds, but no more than so many."""

LEAST = 5
"""Rounds that are taken however long they last."""


@dataclass(frozen=True)
class TimedNetwork:
    """A network, by its number, as one engine computes it; `call` gives its (N, classes) scores of the same images."""

    network: int
    engine: str
    memory_format: str
    call: Callable[[], Tensor]


def settle_statistics(net: nn.Module, channels: int, size: int, images: int = 8) -> nn.Module:
    """Give every BatchNorm the statistics of random images, and leave the network in eval mode; returns it.

    As made they are 0 and 1, with which values grow or vanish from layer to layer, and tiny ones are slow to compute.
    """
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0  # the running statistics become those of this very batch
    with torch.no_grad():
        net.train()(torch.randn(images, channels, size, size))
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum
    return net.eval()


def entries(nets: Sequence[nn.Module], images: Tensor) -> list[TimedNetwork]:
    """Each network by PyTorch in each memory format, BatchNorm folded, and by the compiled kernels where they fit it.

    images: (N, C, S, S). The compiled kernels need torch.set_num_threads(1).
    """
    formed = {name: images.contiguous(memory_format=form) for name, form in FORMATS.items()}
    found = []
    for number, net in enumerate(nets):
        for name, form in FORMATS.items():
            folded = fold(net).to(memory_format=form)  # type: ignore[call-overload]
            found.append(TimedNetwork(number, PYTORCH, name, partial(logits, folded, formed[name])))
        if native(net):
            score = evaluation_scorer(net, len(images), images.shape[-1])
            found.append(TimedNetwork(number, describe(net), INNERMOST, partial(score, formed["channels_last"])))
    return found


@torch.inference_mode()
def measure(entries: Sequence[TimedNetwork], rounds: int, seconds: float) -> np.ndarray:
    """Seconds a call of each entry in each round, (entries, rounds); a first round warms up and is not among them.

    In a round each entry has a turn, in an order drawn anew; the median of its calls counts. No more rounds than
    `rounds` are taken, and none is begun after `seconds` once there are LEAST.

    Raises:
        RuntimeError: two engines do not give a network the same scores.
    """
    calls = _warm_up(entries)
    source = np.random.default_rng(0)
    taken: list[np.ndarray] = []
    collects = gc.isenabled()
    gc.disable()
    try:
        end = time.perf_counter() + seconds
        while len(taken) < rounds and (len(taken) < LEAST or time.perf_counter() < end):
            row = np.empty(len(entries))
            for k in source.permutation(len(entries)):
                row[k] = _turn(entries[k].call, calls[k])
            taken.append(row)
            gc.collect()
    finally:
        if collects:
            gc.enable()
    return np.stack(taken, axis=1)


def _warm_up(entries: Sequence[TimedNetwork]) -> list[int]:
    """How many calls make a turn of each entry; all engines must agree on the scores of a network."""
    scores: dict[int, Tensor] = {}
    calls = []
    for entry in entries:
        started = time.perf_counter()
        found = entry.call()
        spent = time.perf_counter() - started
        if spent < 10 * TURN:  # much of a first call is preparation
            spent = _turn(entry.call, 2)
        calls.append(min(CALLS, math.ceil(TURN / spent)))
        first = scores.setdefault(entry.network, found)
        if not torch.allclose(first, found, rtol=0, atol=1e-3 * float(first.abs().max())):
            raise RuntimeError(f"{entry.engine} ({entry.memory_format}) gives a network other scores than {PYTORCH}.")
    return calls


def _turn(call: Callable[[], Tensor], calls: int) -> float:
    """Median seconds of some calls; where there are several, one before them brings the weights into the cache."""
    if calls > 1:
        call()
    seconds = []
    for _ in range(calls):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds))
