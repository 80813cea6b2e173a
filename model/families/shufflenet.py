"""ShuffleNet v1, the paper's network (arXiv 1707.01083, Section 3 and Table 1), with SE blocks and depth of Table 5."""

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from model.family import Input
from model.widths import resolve_stem, stem_name

if TYPE_CHECKING:
    from torch import nn

NAME = "ShuffleNet"
LATER = ("se", "units")
UNITS = "4/8/4"


@dataclass(frozen=True)
class Axes:
    """The axes of ShuffleNetV1; `stem_channels` is settled by `resolve`."""

    groups: int = field(default=3, metadata={"help": "groups g of the 1x1 convolutions (Table 1)"})
    width: float = field(default=1.0, metadata={"help": "scale factor s of the channels", "range": (0, 64)})
    shuffle: bool = field(default=True, metadata={"help": "channel shuffle after the first 1x1 convolution (Table 3)"})
    stem_channels: int | None = field(
        default=None,
        metadata={"help": "channels of the first convolution; None: model/widths.py", "range": (1, 4096)},
    )
    se: bool = field(default=False, metadata={"help": "squeeze-and-excitation on each unit's output (Table 5)"})
    units: str = field(default=UNITS, metadata={"help": "units of stages 2, 3 and 4 (Tables 1 and 5)"})


def resolve(axes: Axes, given: Input) -> Axes:
    """Settle the stem's channels. ValueError, naming the numbers, for what cannot be built."""
    units(axes.units)
    return replace(axes, stem_channels=resolve_stem(axes.groups, axes.width, given.stem, axes.stem_channels))


def units(text: str) -> tuple[int, int, int]:
    """(4, 8, 4) of `4/8/4`. ValueError where it is not three numbers from 1 to 64."""
    numbers = tuple(map(int, text.split("/"))) if re.fullmatch(r"\d{1,2}/\d{1,2}/\d{1,2}", text, re.ASCII) else ()
    if not numbers or not all(1 <= number <= 64 for number in numbers):
        raise ValueError(
            f"units={text} cannot be built: write the units of stages 2, 3 and 4 as {UNITS}, each 1 to 64."
        )
    a, b, c = numbers
    return a, b, c


def canonical(axes: Axes) -> Axes:
    """At one group the shuffle is the identity, so it counts as on."""
    return replace(axes, shuffle=True) if axes.groups == 1 else axes


def label(axes: Axes) -> str:
    """`g3 0.5x`, `g3 0.5x no shuffle`, `g8 0.25x stem 16`, `g3 2x SE`, `g3 0.725x 2/4/2 units`."""
    parts = (
        f"g{axes.groups} {axes.width:g}x",
        "" if axes.shuffle else "no shuffle",
        "SE" if axes.se else "",
        "" if axes.units == UNITS else f"{axes.units} units",
        "" if axes.stem_channels is None else stem_name(axes.groups, axes.width, axes.stem_channels),
    )
    return " ".join(filter(None, parts))


def build(axes: Axes, given: Input) -> "nn.Module":
    """The network."""
    from model.shufflenet import ShuffleNetV1

    return ShuffleNetV1(
        groups=axes.groups,
        width=axes.width,
        shuffle=axes.shuffle,
        stem_channels=axes.stem_channels,
        se=axes.se,
        units=units(axes.units),
        **given.keywords,
    )


def check(traced: Any) -> list[str]:
    """Groups, widths and permutations as the axes ask for them."""
    from model.shufflenet_checks import faults

    return faults(traced, ungrouped=1, units=units(traced.axes.units))
