"""Lets the GPU benchmarks run where only torch, Triton and numpy are installed: import it first.

pydantic only checks descriptions that are read from files. These scripts read none, so where it is absent, stand-ins
take the places of its names.
"""

import importlib.util
import sys
from types import ModuleType
from typing import Any


class _Unused(Exception):
    """Stands for anything of pydantic: a class to derive from, an exception to catch, a function that is called."""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()


class _Absent(ModuleType):
    """A module in which every name is there."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Unused


def without_pydantic() -> None:
    """Put stand-ins in pydantic's place."""
    for name in ("pydantic", "pydantic_core"):
        sys.modules[name] = _Absent(name)


if importlib.util.find_spec("pydantic") is None:
    without_pydantic()
