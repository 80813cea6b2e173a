"""The network and its cost: ShuffleNet v1, the blog variant, and their multiply-adds.

Imports torch on first use only, and neither `ablations` nor `analysis`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from model.blog import BlogShuffleNet
    from model.cost import Complexity, complexity
    from model.shufflenet import ShuffleNetV1

__all__ = ["STRUCTURES", "BlogShuffleNet", "Complexity", "ShuffleNetV1", "build", "complexity"]

STRUCTURES = {"shufflenet": "ShuffleNetV1", "blog": "BlogShuffleNet"}
"""Class of each structure that `build` knows."""

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


def build(structure: str, **settings: Any) -> "nn.Module":
    """Build a network, the one place where descriptions become networks; `settings` are ShuffleNetV1's arguments.

    Raises:
        ValueError: the structure is unknown, or its settings cannot be built.
    """
    if structure not in STRUCTURES:
        raise ValueError(f"structure={structure!r} is unknown; choose one of {', '.join(STRUCTURES)}.")
    network: nn.Module = __getattr__(STRUCTURES[structure])(**settings)
    return network
