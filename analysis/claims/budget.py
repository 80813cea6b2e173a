"""What a budget would decide: the chance of each claim's verdict if the paper's effects and a given spread are true.

Runs in a process of its own (ablations.core.json_subprocess): numpy and scipy take a second to load.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ablations.core.json_subprocess import answer_json
from ablations.store.plans import Plan, parse_plan
from analysis.claims.beforehand import planned_cell
from analysis.claims.hypothesis_tests import run_test
from analysis.claims.judge import judge
from analysis.claims.parser import Claim, claims_of
from analysis.claims.power import POWER, chance, different
from analysis.claims.spread import measured
from analysis.claims.verdict import DECIDED, SEEDS_ALONE
from analysis.runs.cell import AXES, Cell
from analysis.runs.study import BUILT_IN, NO_STUDY, Study, study
from analysis.stats.intervals import SEEDS
from analysis.stats.sample import ERROR, SHUFFLE, Sample

FINEST, LARGEST = 0.01, 20.0
"""Points: effects that a least effect is looked for among."""

ROUNDS = 20
"""Studies that are simulated for what a plan of looks saves: its mean number of runs is then known to some 3 %."""

LEVEL_ERROR = 50.0
"""Percent: about the error of cells for which nothing is printed; only differences matter."""

EMPTY = Sample({})
"""Without errors."""

Sd = Mapping[float, float]
"""Standard deviation between seeds in points, by width; of a width that is not there, that of the nearest one."""


class Expected(NamedTuple):
    """A study that was planned, or the paper's two together: its claims, and what is expected of its cells.

    Attributes:
        claims: that its cells can test. known: those whose effect is printed, or stated and of no other claim's cells;
            not those about another metric or other images.
        errors: by cell, in percent. cells: cell_id and width by cell.
        like: a sample without errors that has the study's pool and gain.
    """

    claims: tuple[Claim, ...]
    known: tuple[Claim, ...]
    errors: Mapping[Cell, float]
    cells: Mapping[Cell, tuple[str, float]]
    like: Sample

    def at(self, widths: Sequence[float]) -> "Expected":
        """The part of it that has these widths."""
        cells = {ref: known for ref, known in self.cells.items() if known[1] in widths}
        claims, known = (
            tuple(claim for claim in some if {*claim.refs} <= {*cells}) for some in (self.claims, self.known)
        )
        return Expected(claims, known, {ref: self.errors[ref] for ref in cells}, cells, self.like)

    def sd(self, ref: Cell, sd: Sd) -> float:
        """The standard deviation of a cell."""
        return sd[min(sd, key=lambda width: abs(width - self.cells[ref][1]))]

    def ideal(self, seeds: int, sd: Sd) -> Sample:
        """So many seeds of each cell, with exactly these means and standard deviations."""
        errors = {ref: scattered(value, self.sd(ref, sd), seeds) for ref, value in self.errors.items()}
        return replace(self.like, errors=errors)


def expected(plans: Iterable[Plan]) -> list[Expected]:
    """What is expected of the studies that these plans are of; claims of the paper's two go by the cells of both.

    Raises:
        UserError: a claim is malformed.
    """
    planned: dict[str, dict[Cell, tuple[str, float]]] = {}
    known = {name: study(name) for name in BUILT_IN}
    for plan in plans:
        papers = plan.study in (*BUILT_IN, *NO_STUDY)  # tables of the paper's show runs of no study, too
        if plan.study not in NO_STUDY:
            known[plan.study] = study(plan.study, plan)
        of = known[BUILT_IN[0] if papers else plan.study]
        cells = planned.setdefault("" if papers else plan.study, {})
        for entry in plan.runs:
            if not papers or {*entry.variant.axes} <= {*AXES}:
                width = entry.variant.axes.get("width")
                cells[planned_cell(of, entry)] = entry.cell_id, float(width) if isinstance(width, int | float) else 1.0
    return [
        _expected([known[one] for one in ((name,) if name else BUILT_IN)], cells) for name, cells in planned.items()
    ]


def _expected(of: Sequence[Study], cells: Mapping[Cell, tuple[str, float]]) -> Expected:
    """Errors are those printed; of cells without, such as give the effects that plain claims state."""
    claims = tuple(claim for one in of for claim in claims_of(one) if {*claim.refs} <= {*cells})
    usual = [claim for claim in claims if claim.metric == ERROR and claim.over == SEEDS_ALONE]
    errors = {ref: number.value for ref in cells for one in of if (number := one.paper(ref))}
    known = [claim for claim in usual if {*claim.refs} <= {*errors}]
    for claim in usual:
        if claim.kind == "contrast" and claim.paper is not None and not {*claim.refs} & {*errors}:
            terms = claim.contrasts[0].terms
            scale = claim.paper / sum(weight**2 for _, weight in terms)
            errors |= {ref: LEVEL_ERROR + scale * weight for ref, weight in terms}
            known.append(claim)
    like = Sample({}, pool=of[0].pool, gain=of[-1].gain or SHUFFLE)
    return Expected(claims, tuple(known), {ref: errors.get(ref, LEVEL_ERROR) for ref in cells}, cells, like)


def answer(studies: Sequence[Expected], seeds: int, sd: Sd) -> dict[str, Any]:
    """Expected number of right verdicts, of how many claims, and the least gain that is found with POWER.

    Each claim takes the strictest share of the level that Holm's rule may give it, so the number is a lower bound. One
    seed decides nothing.
    """
    decided, least, count = 0.0, None, sum(len(one.known) for one in studies)
    for one in studies if seeds > 1 else ():
        ideal, rivals = one.ideal(seeds, sd), Counter(claim.study for claim in one.claims)
        decided += sum(_chance(claim, ideal, seeds, rivals[claim.study]) for claim in one.known)
        least = _least(one, ideal, seeds, sd, rivals) if least is None else least
    return {"decided": decided, "claims": count, "least": least}


def sequential(studies: Sequence[Expected], plan: Sequence[int], sd: Sd, rounds: int = ROUNDS) -> dict[str, Any] | None:
    """Mean runs of a plan of looks, and claims decided, beside all seeds at once: simulated with the paper's effects.

    Args:
        plan: seeds a cell at each look.
    """
    if not any(one.known for one in studies):
        return None
    ids = dict.fromkeys(cell_id for one in studies for cell_id, _ in one.cells.values())
    source, runs, decided, fixed = np.random.default_rng(0), 0, 0, 0
    for _ in range(rounds):
        seeds = dict.fromkeys(ids, plan[0])
        for one in studies:
            full = {
                ref: dict(enumerate(source.normal(value, one.sd(ref, sd), plan[-1]).tolist()))
                for ref, value in one.errors.items()
            }
            for name in dict.fromkeys(claim.study for claim in one.known):
                mine = [claim for claim in one.known if claim.study == name]
                verdicts, have = carry_out(mine, full, plan, like=one.like)
                decided += len(verdicts)
                fixed += len(carry_out(mine, full, plan[-1:], like=one.like)[0])
                for ref, number in have.items():
                    seeds[one.cells[ref][0]] = max(number, seeds[one.cells[ref][0]])
        runs += sum(seeds.values())
    return {
        "plan": list(plan),
        "rounds": rounds,
        "runs": runs / rounds,
        "fixed": plan[-1] * len(ids),
        "decided": decided / rounds,
        "decided_fixed": fixed / rounds,
    }


class Decided(NamedTuple):
    """A verdict and the look, from 0, that it came of."""

    verdict: str
    look: int


def carry_out(
    claims: Sequence[Claim],
    full: Mapping[Cell, Mapping[int, float]],
    seeds: Sequence[int],
    planned: bool = True,
    like: Sample = EMPTY,
) -> tuple[dict[str, Decided], dict[Cell, int]]:
    """Look at a study at these numbers of seeds; seeds are added only to cells that open claims need.

    Args:
        full: errors of all runs that there can be, in percent.
        seeds: at each look, rising. planned: whether alpha is spent over the looks, else each has the full level.
        like: a sample that is alike but for its errors.

    Returns:
        The verdict of each claim that is decided, by its id, and the seeds of each cell.
    """
    verdicts: dict[str, Decided] = {}
    have = dict.fromkeys(full, 0)
    for k, number in enumerate(seeds):
        needed = {ref for claim in claims if claim.id not in verdicts for ref in claim.refs}
        if not needed:
            break
        have |= dict.fromkeys(needed, number)
        sample = replace(like, errors={ref: {s: full[ref][s] for s in range(count)} for ref, count in have.items()})
        for one in judge(claims, sample, [n / seeds[-1] for n in seeds[: k + 1]] if planned else [], brief=True):
            if one.verdict in DECIDED:
                verdicts.setdefault(one.claim.id, Decided(one.verdict, k))
    return verdicts, have


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


def _least(of: Expected, sample: Sample, seeds: int, sd: Sd, rivals: Mapping[str, int]) -> float | None:
    """The gain between two cells that is found with POWER, by halving: of the plain gains, the first claim's."""
    plain = (claim for claim in of.claims if claim.kind == "contrast" and claim.direction == "positive")
    gain = next((c for c in plain if len(c.refs) == 2 and c.metric == ERROR and c.over == SEEDS_ALONE), None)
    if gain is None:
        return None
    worse, better = gain.refs

    def found(effect: float) -> bool:
        level = {
            **sample.errors,
            worse: scattered(LEVEL_ERROR + effect, of.sd(worse, sd), seeds),
            better: scattered(LEVEL_ERROR, of.sd(better, sd), seeds),
        }
        one = run_test(gain, replace(sample, errors=level))
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
    if question["sd"] is not None:
        sd, text = {1.0: question["sd"]}, f"{question['sd']:g} points (--sd)"
    elif found := measured(Path(question["results"]), question["protocol_id"], question["data"]):
        sd, text = found.by_width or {1.0: found.sd}, found.text
    else:
        return {"spread": None, "options": [None] * len(question["options"]), "plan": None, "unknown": 0}
    studies = expected(filter(None, map(parse_plan, question["plans"])))
    options = [answer([of.at(one["widths"]) for of in studies], one["seeds"], sd) for one in question["options"]]
    return {
        "spread": text,
        "options": options,
        "plan": sequential(studies, question["plan"], sd) if question["plan"] else None,
        "unknown": sum(len(one.claims) - len(one.known) for one in studies),
    }


if __name__ == "__main__":
    answer_json(main)
