"""What a budget would decide: the chance of each claim's verdict if the paper's effects and a given spread are true.

Runs in a process of its own (ablations.core.json_subprocess): numpy and scipy take a second to load.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ablations.core.json_subprocess import answer_json
from analysis.claims.hypothesis_tests import run_test
from analysis.claims.parser import Claim, read_claims
from analysis.claims.power import POWER, chance, different
from analysis.runs.cell import Cell
from analysis.runs.study import BUILT_IN, study
from analysis.stats.intervals import SEEDS
from analysis.stats.sample import Sample

FINEST, LARGEST = 0.01, 20.0
"""Points: effects that a least effect is looked for among."""


def answer(cells: Sequence[Cell], seeds: int, sd: float) -> dict[str, Any]:
    """Expected number of right verdicts, of how many claims, and the least gain that is found with POWER.

    Each claim takes the strictest share of the level that Holm's rule may give it, so the number is a lower bound. One
    seed decides nothing.
    """
    claims = [claim for claim in read_claims() if {*claim.refs} <= {*cells} and claim.paper is not None]
    both = [study(name) for name in BUILT_IN]
    printed = {ref: next(filter(None, (one.paper(ref) for one in both)), None) for ref in cells}
    errors = {ref: number.value for ref, number in printed.items() if number}
    if seeds < 2 or not claims:
        return {"decided": 0.0, "claims": len(claims), "least": None}
    ideal = Sample({ref: scattered(value, sd, seeds) for ref, value in errors.items()})
    rivals = {study: sum(claim.study == study for claim in claims) for study in BUILT_IN}
    chances = [_chance(claim, ideal, seeds, rivals[claim.study]) for claim in claims]
    return {"decided": sum(chances), "claims": len(claims), "least": _least(claims, ideal, seeds, sd, rivals)}


def scattered(mean: float, sd: float, seeds: int) -> dict[int, float]:
    """Errors of so many seeds with exactly this mean and standard deviation."""
    steps = np.arange(seeds) - (seeds - 1) / 2
    return dict(enumerate((mean + sd * steps / steps.std(ddof=1)).tolist()))


def _chance(claim: Claim, sample: Sample, seeds: int, claims: int) -> float:
    """Of a verdict on a claim; 0 where the runs' effects are not of the paper's sign, which rounding can do to none."""
    found = run_test(claim, sample)
    if found.kind != SEEDS or math.isnan(found.deciding):
        return 0.0
    return chance(found, seeds, seeds, claims)


def _least(claims: Sequence[Claim], sample: Sample, seeds: int, sd: float, rivals: dict[str, int]) -> float | None:
    """The gain between two cells that is found with POWER, by halving: of the plain gains, the first claim's."""
    gain = next((c for c in claims if c.kind == "contrast" and len(c.refs) == 2 and c.direction == "positive"), None)
    if gain is None:
        return None
    worse, better = gain.refs

    def found(effect: float) -> bool:
        level = {**sample.errors, worse: scattered(50 + effect, sd, seeds), better: scattered(50, sd, seeds)}
        one = run_test(gain, Sample(level))
        return one.deciding > 0 and different(one, seeds, seeds, rivals[gain.study]) >= POWER

    low, high = 0.0, LARGEST
    if not found(high):
        return None
    while high - low > FINEST:
        middle = (low + high) / 2
        low, high = (low, middle) if found(middle) else (middle, high)
    return high


def main(question: dict[str, Any]) -> list[dict[str, Any]]:
    """The answers to all options of `ablations.profiling.cost.budgets`."""
    cells = [
        Cell.of({axis: c.get(axis) for axis in ("structure", "width", "groups", "shuffle")}) for c in question["cells"]
    ]
    some = ([ref for ref in cells if ref.get("width", 1.0) in option["widths"]] for option in question["options"])
    pairs = zip(some, question["options"], strict=True)
    return [answer(refs, option["seeds"], question["sd"]) for refs, option in pairs]


if __name__ == "__main__":
    answer_json(main)
