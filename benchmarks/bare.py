"""Lets the GPU benchmarks run where only torch, Triton and numpy are installed: import it first.

pydantic only checks descriptions that are read from files. These scripts read none, so where it is absent, stand-ins
take the places of the four names that are imported.
"""

import importlib.util
import sys
from types import ModuleType
from typing import Any


class _Unused:
    """Stands for a class of pydantic that nobody calls here."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass


def without_pydantic() -> None:
    """Put a stand-in in pydantic's place."""
    module = ModuleType("pydantic")
    for name in ("ConfigDict", "Field", "TypeAdapter"):
        setattr(module, name, _Unused)
    module.ValidationError = type("ValidationError", (Exception,), {})  # type: ignore[attr-defined]
    sys.modules["pydantic"] = module


if importlib.util.find_spec("pydantic") is None:
    without_pydantic()
