"""Checks of ShuffleNet's structure: groups and widths of its units, and the channel permutation that each applies."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from model.backend import logits
from model.shufflenet import Unit
from model.widths import stage_channels


def faults(traced: Any, ungrouped: int, units: tuple[int, int, int]) -> list[str]:
    """How a network differs from its axes: groups, width and stem, and permutation; empty where it does not.

    Args:
        traced: has `axes`, `convolutions` as trace.Operators records them, and `before` and `after` as `permutations`
            gives them.
        ungrouped: how many 1x1 convolutions at the start always have one group: the paper's first, or the blog
            variant's first unit.
        units: of stages 2, 3 and 4. Not read from the network: a check brings its own expectation.
    """
    axes, count = traced.axes, sum(units)
    pointwise = [conv for conv in traced.convolutions if conv["weight"][2:] == [1, 1]]
    asked = [1 if k < ungrouped else axes.groups for k in range(2 * count)]
    found = [_differing("groups of its 1x1 convolutions", [conv["groups"] for conv in pointwise], asked)]
    widths = [conv["weight"][1] * conv["groups"] for conv in pointwise[::2]]
    found.append(_differing("input channels of its units", widths, _unit_inputs(axes, units)))
    groups = axes.groups if axes.shuffle else 1
    shuffled = [1 if ungrouped > 1 else groups] + [groups] * (count - 1)  # no groups in the first unit: no shuffle
    wanted = [permutation(len(order), g) for order, g in zip(traced.before, shuffled, strict=False)]
    what = "transposition of (groups, channels / groups)" if axes.shuffle else "identity, as shuffle is off"
    wrong = [k + 1 for k, (order, want) in enumerate(zip(traced.before, wanted, strict=False)) if list(order) != want]
    if wrong or len(traced.before) != count:
        more = f" and {len(wrong) - 1} more of {count}" if len(wrong) > 1 else ""
        where = f"unit {wrong[0]}{more}" if wrong else f"{len(traced.before)} units in place of {count}"
        found.append(f"its channel permutation is not the {what} ({where})")
    if any(list(order) != permutation(len(order), 1) for order in traced.after):
        found.append("channels are permuted after the depthwise convolution, too")
    return [fault for fault in found if fault]


def permutations(network: nn.Module, x: Tensor) -> tuple[list[list[float]], list[list[float]]]:
    """The channel permutation of each unit, before and after its depthwise convolution, in order of execution.

    The outputs of a unit's first two batch normalizations are replaced by the number of each channel. The next
    convolution then gets the permutation: [0, 1, 2, ...] where there is none. A channel whose pixels or images differ
    was not made by moving channels, and has NaN as its number.
    """
    before: list[list[float]] = []
    after: list[list[float]] = []
    hooks = []
    for unit in (module for module in network.modules() if isinstance(module, Unit)):
        for norm, convolution, into in ((unit.bn1, unit.conv2, before), (unit.bn2, unit.conv3, after)):
            hooks.append(norm.register_forward_hook(_number))
            hooks.append(convolution.register_forward_pre_hook(partial(_read, into)))
    try:
        with torch.no_grad():
            logits(network, x)
    finally:
        for hook in hooks:
            hook.remove()
    return before, after


def _number(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
    """Forward hook: replaces an output (N, C, H, W) by channel numbers, in the same memory format."""
    return torch.empty_like(output).copy_(torch.arange(output.shape[1]).view(1, -1, 1, 1))


def _read(into: list[list[float]], module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """Forward pre-hook: appends the number of each channel of the input (N, C, H, W)."""
    maps = inputs[0].transpose(0, 1).flatten(1)  # (C, N*H*W)
    into.append(torch.where((maps == maps[:, :1]).all(1), maps[:, 0], torch.nan).tolist())


def permutation(channels: int, groups: int) -> list[int]:
    """Source of each channel after the paper's shuffle (Section 3.1): (g, C/g) transposed to (C/g, g)."""
    return [k % groups * (channels // groups) + k // groups for k in range(channels)]


def _unit_inputs(axes: Any, units: tuple[int, int, int]) -> list[int]:
    """Input channels of each unit: the stem's output, then that of the unit before."""
    stages = stage_channels(axes.groups, axes.width)
    outputs = [channels for channels, count in zip(stages, units, strict=True) for _ in range(count)]
    return [axes.stem_channels, *outputs[:-1]]


def _differing(what: str, found: list[int], asked: list[int]) -> str:
    """How two lists differ, in words; empty where they are equal."""
    if found == asked:
        return ""
    if len(found) != len(asked):
        return f"{what}: there are {len(found)} in place of {len(asked)}"
    wrong = [k for k in range(len(asked)) if found[k] != asked[k]]
    first = wrong[0]
    return (
        f"{what}: {len(wrong)} of {len(asked)} are not as asked for (the first has {found[first]}, not {asked[first]})"
    )
