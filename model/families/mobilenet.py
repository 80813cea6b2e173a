"""MobileNet v1, which Table 5 compares ShuffleNet with; see model/mobilenet.py."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from model.family import Input

if TYPE_CHECKING:
    from torch import nn

NAME = "MobileNet"


@dataclass(frozen=True)
class Axes:
    """The width multiplier."""

    width: float = field(default=1.0, metadata={"help": "MobileNet's width multiplier", "range": (1 / 32, 8)})


def build(axes: Axes, given: Input) -> "nn.Module":
    """The network."""
    from model.mobilenet import MobileNetV1

    return MobileNetV1(axes.width, **given.keywords)
