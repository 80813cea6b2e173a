"""The ResNet of Table 4: ShuffleNet's skeleton with other units; see model/structures.py."""

from typing import TYPE_CHECKING

from model.families.vgg_like import Axes
from model.family import Input

if TYPE_CHECKING:
    from torch import nn

NAME = "ResNet"


def build(axes: Axes, given: Input) -> "nn.Module":
    """The network."""
    from model.structures import resnet

    return resnet(axes.width, **given.keywords)
