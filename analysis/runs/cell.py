"""A cell of a table: the values of its axes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model.family import BUILT_IN, load
from model.widths import stem_name

AXES = ("structure", "width", "groups", "shuffle", "stem_channels")
"""Axes of the paper's networks, in the order that names and tables have them; others follow by name."""


@dataclass(frozen=True, order=True)
class Cell:
    """Values by axis, in the order of AXES; an axis that a network does not have is left out.

    A cell that a claim means has no `stem_channels`: it stands for the stem that its runs have (see `sample`).
    """

    values: tuple[tuple[str, Any], ...]

    @classmethod
    def of(cls, values: Mapping[Any, Any]) -> "Cell":
        """The cell of a mapping such as a row of a frame; what is None or NaN is left out."""
        known = [(str(axis), value) for axis, value in values.items() if value is not None and value == value]
        return cls(tuple(sorted(known, key=lambda item: (place(item[0]), item[0]))))

    def __getitem__(self, axis: str) -> Any:
        """The value of an axis; KeyError where the cell has no such axis."""
        return dict(self.values)[axis]

    def get(self, axis: str, default: Any = None) -> Any:
        """The value of an axis, `default` where the cell has no such axis."""
        return dict(self.values).get(axis, default)

    def but(self, values: Mapping[str, Any]) -> "Cell":
        """The cell with other values of some axes; None takes an axis away."""
        return Cell.of({**dict(self.values), **values})

    @property
    def name(self) -> str:
        """`1x g=8`, `0.5x g=3 no shuffle`, `blog 1x g=3`, `1x g=3, stem 16`, `1x g=3 label smoothing 0.1`."""
        parts = [word for axis, value in self.values if (word := said(axis, value))]
        return ", ".join(filter(None, [" ".join(parts), own_stem(self)]))


def said(axis: str, value: Any) -> str:
    """A value in a cell's name; empty where the paper's networks need no word for it."""
    if axis == "structure":
        return {"shufflenet": "", "blog": "blog"}.get(value, network(value))
    value = getattr(value, "item", lambda: value)()  # of a column of bool alone, numpy.False_, which is not False
    if axis in ("stem_channels", "shuffle") and value is not False:
        return ""  # the one is said where it is not the default, the other where it is off
    if axis in ("width", "groups"):
        return heading(axis, value)
    word = {"se": "SE"}.get(axis, axis.rpartition(".")[2].replace("_", " "))
    if isinstance(value, bool):
        return word if value else f"no {word}"
    return f"{word} {value:g}" if isinstance(value, float) else f"{word} {value}"


def heading(axis: str, value: Any) -> str:
    """A value as a heading of a table: `0.5x`, `g=3`, `Shuffle`, `No shuffle`, `Label smoothing 0.1`."""
    if axis in ("width", "groups"):
        return f"{value:g}x" if axis == "width" else f"g={value:g}"
    if axis == "structure":
        return network(value)
    word = "shuffle" if axis == "shuffle" and value else said(axis, value)
    return word[:1].upper() + word[1:]


def network(structure: str) -> str:
    """A structure as tables call it; one of a user's own, whose code is not imported here, goes by its name."""
    return str(load(structure).module.NAME) if structure in BUILT_IN else structure


def own_stem(values: Any) -> str:
    """`stem 16` of a cell, or a row of a frame, whose stem has other channels than its default; else empty."""
    given = [values.get(axis) for axis in ("groups", "width", "stem_channels")]
    if any(value is None or value != value for value in given):
        return ""
    return stem_name(int(given[0]), float(given[1]), int(given[2]))


def place(axis: str) -> int:
    """Where an axis stands in names and tables; those of other families come after AXES."""
    return AXES.index(axis) if axis in AXES else len(AXES)
