"""What a budget would decide: the chance of each claim's verdict if the paper's effects and a given spread are true.

Runs in a process of its own (ablations.core.json_subprocess): numpy and scipy take a second to load.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ablations.core.json_subprocess import answer_json
from analysis.claims.hypothesis_tests import run_test
from analysis.claims.parser import Claim, read_claims
from analysis.claims.power import POWER, chance, different
from analysis.claims.sequential import carry_out
from analysis.claims.spread import measured
from analysis.runs.cell import Cell
from analysis.runs.study import BUILT_IN, study
from analysis.stats.intervals import SEEDS
from analysis.stats.sample import Sample

FINEST, LARGEST = 0.01, 20.0
"""Points: effects that a least effect is looked for among."""

ROUNDS = 20
"""Studies that are simulated for what a plan of looks saves: its mean number of runs is then known to some 3 %."""


Sd = float | Mapping[float, float]
"""Standard deviation between seeds in points: one, or of each width."""


def answer(cells: Sequence[Cell], seeds: int, sd: Sd) -> dict[str, Any]:
    """Expected number of right verdicts, of how many claims, and the least gain that is found with POWER.

    Each claim takes the strictest share of the level that Holm's rule may give it, so the number is a lower bound. One
    seed decides nothing.
    """
    claims, errors = _paper(cells)
    if seeds < 2 or not claims:
        return {"decided": 0.0, "claims": len(claims), "least": None}
    ideal = Sample({ref: scattered(value, _at(sd, ref), seeds) for ref, value in errors.items()})
    rivals = {study: sum(claim.study == study for claim in claims) for study in BUILT_IN}
    chances = [_chance(claim, ideal, seeds, rivals[claim.study]) for claim in claims]
    return {"decided": sum(chances), "claims": len(claims), "least": _least(claims, ideal, seeds, sd, rivals)}


def sequential(cells: Sequence[Cell], plan: Sequence[int], sd: Sd, rounds: int = ROUNDS) -> dict[str, Any] | None:
    """Mean runs of a plan of looks, and claims decided, beside all seeds at once: simulated with the paper's effects.

    Args:
        plan: seeds a cell at each look.
    """
    claims, errors = _paper(cells)
    if not claims:
        return None
    studies = [[claim for claim in claims if claim.study == name] for name in BUILT_IN]
    source, runs, decided, fixed = np.random.default_rng(0), 0, 0, 0
    for _ in range(rounds):
        full = {
            ref: dict(enumerate(source.normal(value, _at(sd, ref), plan[-1]).tolist())) for ref, value in errors.items()
        }
        seeds = dict.fromkeys(cells, plan[0])
        for mine in filter(None, studies):
            verdicts, have = carry_out(mine, full, plan)
            decided += len(verdicts)
            fixed += len(carry_out(mine, full, plan[-1:])[0])
            seeds |= {ref: max(number, seeds[ref]) for ref, number in have.items()}
        runs += sum(seeds.values())
    return {
        "plan": list(plan),
        "rounds": rounds,
        "runs": runs / rounds,
        "fixed": plan[-1] * len(cells),
        "decided": decided / rounds,
        "decided_fixed": fixed / rounds,
    }


def _paper(cells: Sequence[Cell]) -> tuple[list[Claim], dict[Cell, float]]:
    """The paper's claims that these cells can test, and its errors in percent."""
    claims = [claim for claim in read_claims() if {*claim.refs} <= {*cells} and claim.paper is not None]
    both = [study(name) for name in BUILT_IN]
    printed = {ref: next(filter(None, (one.paper(ref) for one in both)), None) for ref in cells}
    return claims, {ref: number.value for ref, number in printed.items() if number}


def _at(sd: Sd, ref: Cell) -> float:
    """The standard deviation of a cell; of a width that was not measured, that of the nearest one."""
    if not isinstance(sd, Mapping):
        return sd
    return sd[min(sd, key=lambda width: abs(width - (ref.get("width") or 1)))]


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


def _least(claims: Sequence[Claim], sample: Sample, seeds: int, sd: Sd, rivals: dict[str, int]) -> float | None:
    """The gain between two cells that is found with POWER, by halving: of the plain gains, the first claim's."""
    gain = next((c for c in claims if c.kind == "contrast" and len(c.refs) == 2 and c.direction == "positive"), None)
    if gain is None:
        return None
    worse, better = gain.refs

    def found(effect: float) -> bool:
        level = {
            **sample.errors,
            worse: scattered(50 + effect, _at(sd, worse), seeds),
            better: scattered(50, _at(sd, better), seeds),
        }
        one = run_test(gain, Sample(level))
        return one.deciding > 0 and different(one, seeds, seeds, rivals[gain.study]) >= POWER

    low, high = 0.0, LARGEST
    if not found(high):
        return None
    while high - low > FINEST:
        middle = (low + high) / 2
        low, high = (low, middle) if found(middle) else (middle, high)
    return high


def main(question: dict[str, Any]) -> dict[str, Any]:
    """The spread that is reckoned with, the answers to all options of `cost_model.budgets`, and what a plan would save.

    `sd` of the question: the spread to assume; else that which was measured. Without one no option has an answer.
    """
    found = None
    if question["sd"] is None:
        found = measured(Path(question["results"]), question["protocol_id"], question["data"])
    sd: Sd | None = (found.by_width or found.sd) if found else question["sd"]
    if sd is None:
        return {"spread": None, "options": [None] * len(question["options"]), "plan": None}
    axes = ("structure", "width", "groups", "shuffle")
    cells = [Cell.of({axis: c[axis] for axis in axes}) for c in question["cells"] if {*axes} <= {*c}]
    options = [
        answer([ref for ref in cells if ref["width"] in one["widths"]], one["seeds"], sd) for one in question["options"]
    ]
    plan = sequential(cells, question["plan"], sd) if question["plan"] else None
    return {"spread": found.text if found else f"{sd:g} points (--sd)", "options": options, "plan": plan}


if __name__ == "__main__":
    answer_json(main)
