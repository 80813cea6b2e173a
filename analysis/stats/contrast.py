"""References to cells as claims name them, and contrasts: weighted sums of cells' errors."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple


class CellRef(NamedTuple):
    """Reference to a cell by its axes; `stem_channels` is 0 for the stem that claims mean (see `sample`)."""

    groups: int
    width: float
    shuffle: bool = True
    structure: str = "shufflenet"
    stem_channels: int = 0

    @property
    def name(self) -> str:
        """`1x g=8`, `0.5x g=3 no shuffle`, `blog 1x g=3`."""
        structure = "" if self.structure == "shufflenet" else f"{self.structure} "
        stem = f", stem {self.stem_channels}" if self.stem_channels else ""
        return f"{structure}{self.width:g}x g={self.groups}{'' if self.shuffle else ' no shuffle'}{stem}"

    @property
    def row(self) -> tuple[str, float]:
        """Key of the cells that share a pooled standard deviation: structure and width."""
        return self.structure, self.width


@dataclass(frozen=True)
class Contrast:
    """A weighted sum of cells' mean errors, in percentage points."""

    terms: tuple[tuple[CellRef, float], ...]

    @property
    def refs(self) -> tuple[CellRef, ...]:
        """Its cells."""
        return tuple(ref for ref, _ in self.terms)

    def __sub__(self, other: "Contrast") -> "Contrast":
        """The difference of two contrasts, equal cells merged."""
        weights: dict[CellRef, float] = {}
        for sign, part in ((1, self), (-1, other)):
            for ref, weight in part.terms:
                weights[ref] = weights.get(ref, 0.0) + sign * weight
        return Contrast(tuple((ref, weight) for ref, weight in weights.items() if weight))

    def of(self, values: Mapping[CellRef, float]) -> float:
        """The contrast of given numbers."""
        return sum(weight * values[ref] for ref, weight in self.terms)


def gain(worse: CellRef, better: CellRef) -> Contrast:
    """What going from one cell to another takes off the error."""
    return Contrast(((worse, 1.0), (better, -1.0)))
