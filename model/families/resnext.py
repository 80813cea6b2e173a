"""The ResNeXt of Table 4: ShuffleNet's skeleton with other units; see model/structures.py."""

from typing import TYPE_CHECKING

from model.families.vgg_like import Axes
from model.family import Input

if TYPE_CHECKING:
    from torch import nn

NAME = "ResNeXt"


def build(axes: Axes, given: Input) -> "nn.Module":
    """The network."""
    from model.structures import resnext

    return resnext(axes.width, **given.keywords)
