"""Networks and their cost: ShuffleNet v1, the families of model/families, and their multiply-adds.

Imports torch on first use only, and neither `ablations` nor `analysis`.
"""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.family import Input, load

if TYPE_CHECKING:
    from torch import nn

    from model.blog import BlogShuffleNet
    from model.cost import Complexity, complexity
    from model.shufflenet import ShuffleNetV1

__all__ = ["BlogShuffleNet", "Complexity", "ShuffleNetV1", "build", "complexity"]

# No module here may have one of these names: importing it would replace the attribute by the module.
_HOMES = {
    "ShuffleNetV1": "model.shufflenet",
    "BlogShuffleNet": "model.blog",
    "Complexity": "model.cost",
    "complexity": "model.cost",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that planning (which needs model.widths only) starts without torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def build(
    family: str,
    *,
    num_classes: int = 1000,
    in_channels: int = 3,
    stem: str = "imagenet",
    resolution: int = 224,
    folders: Sequence[Path] = (),
    **axes: Any,
) -> "nn.Module":
    """Build a network, the one place where descriptions become networks.

    Args:
        family: its name; see model/family.py.
        folders: where families of a user's own are.
        axes: values of the family's axes.

    Raises:
        ValueError: the family is unknown, or its axes cannot be built.
    """
    try:
        return load(family, folders).build(axes, Input(num_classes, in_channels, resolution, stem))
    except LookupError as error:
        raise ValueError(str(error)) from error
