"""What a network costs: multiply-adds by two independent counters that must agree, and parameters."""

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

Shape = tuple[int, int, int]
"""(channels, height, width) of one image."""


@dataclass(frozen=True)
class Complexity:
    """Cost of one image: `macs`, the paper's "FLOPs", are multiply-adds of convolutions and fully connected layers."""

    macs: int
    conv_macs: int
    linear_macs: int
    params: int


@contextmanager
def _silent() -> Iterator[None]:
    """fvcore warns of every operator that it has no count for, and torch of the tracing that fvcore does."""
    logger = logging.getLogger("fvcore.nn.jit_analysis")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _copy(model: nn.Module, device: str) -> nn.Module:
    """A copy in eval mode, so that `model` is left alone: in training mode batch norm would update its statistics."""
    return copy.deepcopy(model).to(device).eval()


def independent_macs(model: nn.Module, shape: Shape) -> int:
    """Multiply-adds of one image of `shape` by torch's own counter, which counts each as two operations."""
    # The meta device has shapes but no numbers: nothing is computed. (The first call in a process takes seconds all the
    # same: torch's counter, like its optimizers, imports torch._dynamo.)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        _copy(model, "meta")(torch.empty(1, *shape, device="meta"))
    return int(counter.get_total_flops()) // 2


def complexity(model: nn.Module, shape: Shape = (3, 224, 224)) -> Complexity:
    """Multiply-adds for one image of `shape` (channels, height, width), and parameters; `model` is left as it is.

    fvcore's total is not used: it counts batch normalisation, average pooling and more, which the paper does not, and
    which would make 8 groups look dearest.

    Raises:
        RuntimeError: the two counters disagree, so neither number can be trusted.
    """
    with _silent(), torch.no_grad():
        from fvcore.nn import FlopCountAnalysis  # here, for the import warns too

        counts = FlopCountAnalysis(_copy(model, "cpu"), torch.zeros(1, *shape)).by_operator()  # cannot trace on meta
    conv, linear = int(counts["conv"]), int(counts["linear"])
    second = independent_macs(model, shape)
    if conv + linear != second:
        raise RuntimeError(
            f"Multiply-adds at {shape} are {conv + linear:,} by fvcore but {second:,} by torch.utils.flop_counter: "
            "the network has a layer that only one of them counts."
        )
    return Complexity(conv + linear, conv, linear, sum(p.numel() for p in model.parameters()))
