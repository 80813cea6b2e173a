"""Do two sets of runs agree? `python -m analysis.compare results WITH`, `make compare WITH=results/reference/cifar10`.

For each cell that both have, the difference of its mean errors: a t test with the standard deviation pooled over the
cells of its width on both sides, adjusted over all cells by Holm, and two one-sided tests against the margin. It is how
a GPU's runs, another machine's, or those of changed code are accepted.

Exit code 0: compatible, every cell's difference lies within the margin. 1: some cell differs. 2: too few runs to tell.
3: there is nothing to compare.
"""

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ablations.core.command import command
from ablations.core.text import counted, plural
from analysis.runs.cell import AXES, Cell

if TYPE_CHECKING:
    import pandas as pd

COMPATIBLE, DIFFERS, TOO_FEW, NOTHING = 0, 1, 2, 3
MARGIN = 0.5
"""Percentage points: differences no larger than this count as none, as in the claims."""


@dataclass(frozen=True)
class Difference:
    """Of one cell, in points of top-1 error: ours minus theirs. NaN where the runs do not tell.

    Attributes:
        half: half the width of the 95 % interval of the difference.
        p: two-sided p of no difference, adjusted over all cells by Holm; p_within: of a difference within the margin.
    """

    cell: str
    ours: float
    theirs: float
    runs: tuple[int, int]
    half: float
    p: float
    p_within: float

    @property
    def within(self) -> bool:
        """Whether the difference surely lies within the margin."""
        return self.p_within <= 0.05

    @property
    def differs(self) -> bool:
        """Whether there surely is a difference that may matter."""
        return self.p <= 0.05 and not self.within


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table and the verdict."""
    from ablations.core.console import show_error
    from ablations.core.errors import UserError
    from ablations.core.make_variables import option
    from analysis.runs.finished import read

    parser = argparse.ArgumentParser(prog="python -m analysis.compare", description=__doc__)
    parser.add_argument("results", type=Path, help="results folder")
    parser.add_argument("other", type=Path, help="another one, or a committed study")
    parser.add_argument("--margin", type=float, default=MARGIN, help="points of error that count as no difference")
    parser.add_argument("--protocol", default="", help="name or id of a protocol where a folder has several")
    chosen = parser.parse_args(arguments)
    try:
        if not 0 < chosen.margin < math.inf:
            raise UserError(f"{option('margin', f'{chosen.margin:g}')}: a number of points above 0 is needed.")
        theirs = read(chosen.other, chosen.protocol)
        ours = read(chosen.results, chosen.protocol, str(theirs["protocol_id"].iloc[0]))
        found = differences(ours, theirs, chosen.margin)
        if not found:
            raise UserError(f"{chosen.results} and {chosen.other} have no cell in common with a finished run in both.")
    except UserError as error:
        show_error(error)
        return NOTHING
    code, sentence = verdict(found, _same_numbers(ours, theirs), chosen.margin)
    protocols = [str(rows["protocol_id"].iloc[0]) for rows in (ours, theirs)]
    note = f"Note: the protocols differ ({' and '.join(protocols)}).\n" if len({*protocols}) > 1 else ""
    print(f"{_table(found)}\n\n{note}{sentence}")
    return code


def differences(ours: "pd.DataFrame", theirs: "pd.DataFrame", margin: float) -> list[Difference]:
    """Of every cell that both have, in the order of tables."""
    import numpy as np

    from analysis.stats.intervals import above, pool, quantile
    from analysis.stats.multiple_comparisons import holm

    sides = [_by_cell(rows) for rows in (ours, theirs)]
    cells = sorted(sides[0].keys() & sides[1].keys(), key=lambda cell: (cell["structure"], -cell.get("width", 0), cell))
    # As in the tables: narrow networks spread more than wide ones, so a width has a spread of its own.
    widths = {cell: (cell["structure"], cell.get("width")) for side in sides for cell in side}
    spreads = {
        width: pool([errors for side in sides for cell, errors in side.items() if widths[cell] == width])
        for width in {widths[cell] for cell in cells}
    }
    found = []
    for cell in cells:
        spread, here, there = spreads[widths[cell]], sides[0][cell], sides[1][cell]
        effect = float(np.mean(here) - np.mean(there))
        half = p = p_within = math.nan
        if spread.df > 0 and spread.sd > 0:
            se = spread.sd * math.sqrt(1 / len(here) + 1 / len(there))
            half = quantile(spread.df) * se
            p = min(1.0, 2 * above(abs(effect) / se, spread.df))
            p_within = max(above((margin - sign * effect) / se, spread.df) for sign in (1, -1))
        runs = (len(here), len(there))
        means = float(np.mean(here)), float(np.mean(there))
        found.append(Difference(_name(cell, cells), *means, runs, half, p, p_within))
    adjusted = iter(holm([one.p for one in found if not math.isnan(one.p)]))
    return [one if math.isnan(one.p) else replace(one, p=next(adjusted)) for one in found]


def _name(cell: Cell, cells: Sequence[Cell]) -> str:
    """The name of a cell without axes of which all networks of its family here have one value; the paper's are said."""
    family = [one for one in cells if one["structure"] == cell["structure"]]
    usual = [axis for axis, value in cell.values if all(one.get(axis) == value for one in family)]
    return cell.but({axis: None for axis in usual if axis not in AXES}).name


def _by_cell(rows: "pd.DataFrame") -> dict[Cell, list[float]]:
    found: dict[Cell, list[float]] = {}
    for cell, error in zip(rows["cell"], rows["error"], strict=True):
        found.setdefault(cell, []).append(float(error))
    return found


def verdict(found: Sequence[Difference], same: bool, margin: float) -> tuple[int, str]:
    """Exit code and sentence. Each cell must lie within the margin at 5 %, so that all do at 5 % (Berger, 1982)."""
    if same:
        return COMPATIBLE, "Compatible: the same runs with the same errors."
    apart = [one.cell for one in found if one.differs]
    if apart:
        return DIFFERS, f"Differs in {len(apart)} of {counted(len(found), 'cell')}: {', '.join(apart)}."
    within = f"{margin:g} {plural(margin, 'point')}"
    if all(one.within for one in found):
        which = f"all {len(found)} cells agree" if len(found) > 1 else "the one cell agrees"
        return COMPATIBLE, f"Compatible: {which} within {within}."
    open_still = sum(not one.within for one in found)
    return TOO_FEW, (
        f"Too few runs to tell: no cell differs for certain, but {open_still} of {len(found)} may differ by more than "
        f"{within}."
    )


def _same_numbers(ours: "pd.DataFrame", theirs: "pd.DataFrame") -> bool:
    """Whether every run is on both sides, with the same error."""
    first, second = (dict(zip(rows["run_id"], rows["error"], strict=True)) for rows in (ours, theirs))
    return first == second


def _table(found: Sequence[Difference]) -> str:
    from tabulate import tabulate

    def number(value: float, form: str) -> str:
        return "–" if math.isnan(value) else format(value, form)

    rows = [
        (
            *(one.cell, f"{one.ours:.2f} ({one.runs[0]})", f"{one.theirs:.2f} ({one.runs[1]})"),
            *(f"{one.ours - one.theirs:+.2f}", f"± {number(one.half, '.2f')}"),
            *(number(one.p, ".3f"), "differs" if one.differs else "within" if one.within else "open"),
        )
        for one in found
    ]
    heads = ["cell", "error % (runs)", "theirs", "difference", "95 %", "p (Holm)", "margin"]
    return tabulate(rows, heads, disable_numparse=True)


run = command(main)

if __name__ == "__main__":
    run()
