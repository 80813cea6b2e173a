"""Contrasts: weighted sums of cells' errors."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from analysis.runs.cell import Cell


@dataclass(frozen=True)
class Contrast:
    """A weighted sum of cells' mean errors, in percentage points."""

    terms: tuple[tuple[Cell, float], ...]

    @cached_property
    def refs(self) -> tuple[Cell, ...]:
        """Its cells."""
        return tuple(ref for ref, _ in self.terms)

    def __sub__(self, other: "Contrast") -> "Contrast":
        """The difference of two contrasts, equal cells merged."""
        weights: dict[Cell, float] = {}
        for sign, part in ((1, self), (-1, other)):
            for ref, weight in part.terms:
                weights[ref] = weights.get(ref, 0.0) + sign * weight
        return Contrast(tuple((ref, weight) for ref, weight in weights.items() if weight))

    def of(self, values: Mapping[Cell, float]) -> float:
        """The contrast of given numbers."""
        return sum(weight * values[ref] for ref, weight in self.terms)


def gain(worse: Cell, better: Cell) -> Contrast:
    """What going from one cell to another takes off the error."""
    return Contrast(((worse, 1.0), (better, -1.0)))
