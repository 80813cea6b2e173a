"""The VGG-like network of Table 4: ShuffleNet's skeleton with other units; see model/structures.py."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from model.family import Input
from model.widths import FITTED_STEMS

if TYPE_CHECKING:
    from torch import nn

NAME = "VGG-like"


@dataclass(frozen=True)
class Axes:
    """The width; its widths are those whose stems are fitted to the paper's complexities."""

    width: float = field(default=1.0, metadata={"help": "scale factor of the channels", "choices": tuple(FITTED_STEMS)})


def build(axes: Axes, given: Input) -> "nn.Module":
    """The network."""
    from model.structures import vgg_like

    return vgg_like(axes.width, **given.keywords)
