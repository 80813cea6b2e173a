"""Measures inference time of networks in interleaved rounds, so that changes of machine speed affect all alike."""

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
"""Name of the engine that computes every network: eager PyTorch."""

FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
"""Memory formats that PyTorch is measured with."""

INNERMOST = "images innermost"
"""Memory format of the compiled kernels."""

TURN, CALLS = 0.02, 20
"""Calls in a turn: as many as fill TURN seconds, at most CALLS."""

LEAST = 5
"""Minimum number of rounds, however long they take."""


@dataclass(frozen=True)
class TimedNetwork:
    """A network (by index) computed by one engine; `call` returns its (N, classes) scores of the same images."""

    network: int
    engine: str
    memory_format: str
    call: Callable[[], Tensor]


def settle_statistics(net: nn.Module, channels: int, size: int, images: int = 8) -> nn.Module:
    """Set every BatchNorm's statistics from random images and return the network in eval mode.

    With the initial 0 and 1, activations explode or vanish from layer to layer, and denormal numbers are slow.
    """
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0  # running statistics become those of this batch
    with torch.no_grad():
        net.train()(torch.randn(images, channels, size, size))
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum
    return net.eval()


def entries(nets: Sequence[nn.Module], images: Tensor) -> list[TimedNetwork]:
    """Entries for each network: PyTorch in each memory format with BatchNorm folded, and compiled kernels if they fit.

    images: (N, C, S, S). The compiled kernels need torch.set_num_threads(1). Networks that are not exactly this
    package's own are measured as they are, without folding.
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
    """Seconds per call of each entry in each round: (entries, rounds), without the warm-up round.

    In a round each entry has a turn, in random order; its time is the median of its calls. Takes at most `rounds`
    rounds and starts none after `seconds`, once there are LEAST.

    Raises:
        RuntimeError: two engines give a network different scores.
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
    """Number of calls in a turn of each entry; checks that engines agree on a network's scores."""
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
            raise RuntimeError(
                f"{entry.engine} ({entry.memory_format}) gives a network different scores than {PYTORCH}."
            )
    return calls


def _turn(call: Callable[[], Tensor], calls: int) -> float:
    """Median seconds of some calls; if several, an untimed call before them loads the weights into the cache."""
    if calls > 1:
        call()
    seconds = []
    for _ in range(calls):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds))
