"""Geometry of a forest plot: an interval a claim, on one scale for all claims of a study that share a unit."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.ticker import MaxNLocator

from analysis.claims.verdict import TAU, Verdict

WIDTH, MARGIN = 300.0, 8.0
"""Of a plot, in its own units; marks keep a margin from both ends."""


@dataclass(frozen=True)
class Scale:
    """Values at both ends of the plots, and (position, label) of the ticks."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]

    def place(self, value: float) -> float:
        """Position of a value, those beyond an end at that end."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(MARGIN + share * (WIDTH - 2 * MARGIN), 2)


@dataclass(frozen=True)
class Row:
    """Positions of one claim's marks; None where there is none. `cut` ends of an interval go on beyond the plot.

    `at_once` is the interval that belongs to the verdict, over all claims of the study.
    """

    zero: float
    band: tuple[float, float]
    interval: tuple[float, float] | None
    cut: tuple[bool, bool]
    at_once: tuple[float, float] | None
    effect: float | None
    paper: float | None


def scale(verdicts: Sequence[Verdict]) -> Scale:
    """A scale that holds all effects, the paper's, the margins, and intervals as far as these let it.

    Few seeds can give intervals ten times as wide as any effect. Ends further out than the effects' own span are cut,
    since otherwise nothing else could be told apart.
    """
    if all(verdict.unit == TAU for verdict in verdicts):
        return _with_ticks(-1.0, 1.0)
    values = [0.0]
    for verdict in verdicts:
        values += [verdict.margin, -verdict.margin]
        values += [value for value in (verdict.effect, verdict.paper_effect) if value is not None]
    span = max(max(values) - min(values), 1e-6)
    intervals = [(one.low, one.high, one.low_simultaneous, one.high_simultaneous) for one in verdicts]
    ends = [end for interval in intervals for end in interval if end is not None]
    low = max(min([*values, *ends]), min(values) - span)
    high = min(max([*values, *ends]), max(values) + span)
    return _with_ticks(low, high)


def row(verdict: Verdict, on: Scale) -> Row:
    """The marks of one claim."""
    low, high = verdict.low, verdict.high
    return Row(
        zero=on.place(0.0),
        band=(on.place(-verdict.margin), on.place(verdict.margin)),
        interval=_ends(low, high, on),
        cut=(low is not None and low < on.low, high is not None and high > on.high),
        at_once=_ends(verdict.low_simultaneous, verdict.high_simultaneous, on),
        effect=None if verdict.effect is None else on.place(verdict.effect),
        paper=None if verdict.paper_effect is None else on.place(verdict.paper_effect),
    )


def _ends(low: float | None, high: float | None, on: Scale) -> tuple[float, float] | None:
    return None if low is None or high is None else (on.place(low), on.place(high))


def _with_ticks(low: float, high: float) -> Scale:
    ends = Scale(low, high, ())
    found = MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(low, high)
    inside = [float(value) for value in found if low - 1e-9 <= value <= high + 1e-9]
    labels = [f"{value:+.3g}".replace("-", "−") if abs(value) > 1e-9 else "0" for value in inside]
    return Scale(low, high, tuple((ends.place(value), label) for value, label in zip(inside, labels, strict=True)))
