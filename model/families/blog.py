"""The variant of the text that this project started from; model/blog.py lists how it differs from the paper."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from model.families import shufflenet
from model.family import Input
from model.widths import resolve_stem

if TYPE_CHECKING:
    from torch import nn

NAME = "blog variant"
canonical = shufflenet.canonical


@dataclass(frozen=True)
class Axes:
    """The axes of BlogShuffleNet; see shufflenet.Axes."""

    groups: int = 3
    width: float = field(default=1.0, metadata={"range": (0, 64)})
    shuffle: bool = True
    stem_channels: int | None = field(default=None, metadata={"range": (1, 4096)})


def resolve(axes: Axes, given: Input) -> Axes:
    """Settle the stem's channels; see shufflenet.resolve."""
    return replace(axes, stem_channels=resolve_stem(axes.groups, axes.width, given.stem, axes.stem_channels))


def label(axes: Axes) -> str:
    """`blog g3 0.5x`; see shufflenet.label."""
    return f"blog {shufflenet.label(shufflenet.Axes(axes.groups, axes.width, axes.shuffle, axes.stem_channels))}"


def build(axes: Axes, given: Input) -> "nn.Module":
    """The network."""
    from model.blog import BlogShuffleNet

    return BlogShuffleNet(axes.groups, axes.width, axes.shuffle, stem_channels=axes.stem_channels, **given.keywords)


def check(traced: Any) -> list[str]:
    """As shufflenet's; the whole first unit has no groups."""
    from model.shufflenet_checks import faults

    return faults(traced, ungrouped=2, units=(4, 8, 4))
