"""How often verdicts are wrong, and how often right: `python -m benchmarks.verdicts` judges simulated studies.

Errors are drawn, not trained: normal about true means, as independent seeds would give them. Without a true effect,
`supported` and `contradicted` must come out at 5 % at most, claim by claim (raw p) and for the family. With the
paper's own effects the same counts are power.
"""

import argparse
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import product

from analysis.claims.parser import NOT_POSITIVE, Claim, read_claims
from analysis.claims.verdict import CONTRADICTED, NO_EFFECT, SUPPORTED
from analysis.runs.study import BUILT_IN
from benchmarks.worlds import (
    LEVEL,
    Sequential,
    Tally,
    World,
    false_alarm,
    flat,
    hardest,
    heavy,
    papers,
    simulate,
    simulate_looks,
    skewed,
    truth,
)

SEEDS = (2, 3, 5)
MOST = 10
"""Seeds at the last of several looks."""

ROUGH = 0.9
"""Standard deviation between seeds, in points, with which about half of the claims are decided."""


def _job(job: tuple[Sequence[Claim], World, int, int, int]) -> Tally:
    claims, world, seeds, rounds, start = job
    return simulate(claims, world, seeds, rounds, false_alarm, start)


def _looks(job: tuple[Sequence[Claim], Sequence[int], int, int]) -> tuple[Sequential, Sequential]:
    """A plan of looks without an effect, and, a tenth as often, with the paper's: means need fewer studies."""
    claims, seeds, rounds, start = job
    null = simulate_looks(claims, flat(claims), seeds, rounds, false_alarm, start)
    return null, simulate_looks(claims, papers(claims, ROUGH), seeds, max(1, rounds // 10), false_alarm, start)


def _kind(job: tuple[Claim, World, Sequence[int], int]) -> float:
    """Share of wrong verdicts on one claim under a plan of looks, in a world where one side is wrong."""
    claim, world, seeds, rounds = job
    sides = wrong_sides(claim, world)
    return simulate_looks([claim], world, seeds, rounds, lambda _, verdict: verdict in sides).wrong


def _unplanned(job: tuple[Sequence[Claim], int, int]) -> tuple[float, ...]:
    """Wrong studies by the number of looks, each at the full level, one seed after the other."""
    claims, first, rounds = job
    return simulate_looks(claims, flat(claims), range(first, first + 5), rounds, false_alarm, planned=False).wrong_by


def _numbers(first: int, looks: int) -> tuple[int, ...]:
    """Seeds at so many looks, in like steps up to MOST."""
    return tuple(round(first + k * (MOST - first) / (looks - 1)) for k in range(looks))


def _plain(claims: Sequence[Claim]) -> tuple[str, Claim, World]:
    """One gain where there is none, in the form of `hardest`."""
    gain = next(one for one in claims if one.kind == "contrast" and one.direction != NOT_POSITIVE)
    return "contrast", gain, flat(claims)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2000, help="simulated studies for each number")
    rounds = parser.parse_args().rounds
    began, claims = time.perf_counter(), read_claims()
    studies = {study: [claim for claim in claims if claim.study == study] for study in BUILT_IN}
    every, heads = [(s, c) for s in studies for c in studies[s]], [f"{n} seeds" for n in SEEDS]
    error = 100 * math.sqrt(LEVEL * (1 - LEVEL) / rounds)
    print(f"{rounds} simulated studies a number; at 5 % the standard error is {error:.2f} points.\n")
    with ProcessPoolExecutor() as pool:

        def run(worlds: dict[str, Callable[[Sequence[Claim]], World]]) -> dict[tuple[str, str, int], Tally]:
            keys = [(name, study, n) for name in worlds for study in studies for n in SEEDS]
            jobs = [(studies[study], worlds[name](claims), n, rounds, k) for k, (name, study, n) in enumerate(keys)]
            return dict(zip(keys, pool.map(_job, jobs), strict=True))

        nothing = run({"normal": flat})
        print("## No true effect: raw test of each claim comes out either way, %\n")
        print("A claim that nothing is gained is true here: `supported` is right, and not counted.\n")
        _table(
            ["claim", *heads],
            [[c.id, *(_percent(_alarms(nothing["normal", s, n], c)) for n in SEEDS)] for s, c in every],
        )
        print("\n## Family: any claim of a study wrongly supported or contradicted, %\n")
        ways: dict[str, Callable[[Sequence[Claim]], World]] = {
            "standard deviations 3 to 1": lambda c: replace(flat(c), uneven=math.sqrt(3)),
            "cells of a seed correlate, 0.5": lambda c: replace(flat(c), shared=0.5),
            "a fifth of the runs missing": lambda c: replace(flat(c), lost=0.2),
        }
        others = nothing | run(ways)
        _table(
            ["world", "study", *heads],
            [
                [name, study, *(_percent(others[key, study, n].family / rounds) for n in SEEDS)]
                for name, key in (("as assumed", "normal"), *((name, name) for name in ways))
                for study in studies
            ],
        )
        print("\n## Joint adjustment beside Holm's: wrong studies, %, and claims decided in the paper's world\n")
        tails = {"heavy tails": heavy, "skewed": skewed}
        noises = nothing | run({name: lambda c, how=how: replace(flat(c), noise=how) for name, how in tails.items()})
        rough = run({"paper": lambda c: papers(c, ROUGH)})
        rows = [
            [f"wrong, {name}", study, *(_both(t.family / rounds, t.family_holm / rounds, 100) for t in row)]
            for name in ("normal", *tails)
            for study in studies
            for row in [[noises[name, study, n] for n in SEEDS]]
        ]
        rows += [
            [f"decided, sd {ROUGH:g}", s, *(_both(t.decided / rounds, t.decided_holm / rounds, 1) for t in row)]
            for s in studies
            for row in [[rough["paper", s, n] for n in SEEDS]]
        ]
        _table(["joint (Holm)", "study", *heads], rows)
        print(f"\n## Planned looks: wrong studies of no effect, %; decided and runs, paper, sd {ROUGH}\n")
        plans = [(MOST,), *(_numbers(first, looks) for first in (2, 3) for looks in (2, 3, 4, 5))]
        jobs = [(mine, plan, rounds, k) for k, (mine, plan) in enumerate(product(studies.values(), plans))]
        _table(
            ["study", "seeds at each look", "wrong", "decided", "runs"],
            [
                [
                    mine[0].study,
                    ", ".join(map(str, plan)),
                    _percent(null.wrong),
                    f"{real.decided:.1f}",
                    f"{real.runs:.0f}",
                ]
                for (mine, plan, *_), (null, real) in zip(jobs, pool.map(_looks, jobs), strict=True)
            ],
        )
        print("\n## Each kind at its hardest under planned looks: wrong side (or `no effect`) of one claim, %\n")
        kinds = [(study, *one) for study, mine in studies.items() for one in (*hardest(mine), _plain(mine))]
        ends = [_numbers(first, looks) for first in (2, 3) for looks in (2, 5)]
        wrong = iter(pool.map(_kind, [(c, w, plan, rounds) for _, _, c, w in kinds for plan in ends]))
        _table(
            ["study", "kind", *(", ".join(map(str, plan)) for plan in ends)],
            [[study, name, *(_percent(next(wrong)) for _ in ends)] for study, name, *_ in kinds],
        )
        print("\n## Seeds added without a plan: wrong studies by the number of looks, %\n")
        print("analysis.stats.alpha_spending.UNPLANNED has the larger of each column.\n")
        going_on = [(mine, first, rounds) for mine in studies.values() for first in (2, 3)]
        _table(
            ["study", "from", *(f"{n} looks" for n in range(1, 6))],
            [
                [mine[0].study, f"{first} seeds", *map(_percent, by)]
                for (mine, first, _), by in zip(going_on, pool.map(_unplanned, going_on), strict=True)
            ],
        )
        print("\n## Each kind at its hardest: raw test on the wrong side (or `no effect`), %\n")
        rows = []
        for study, mine in studies.items():
            for name, claim, world in hardest(mine):
                tallies = pool.map(_job, [([claim], world, n, rounds, n) for n in SEEDS])
                rows.append([study, name, *(_percent(mistakes(tally, claim, world)) for tally in tallies)])
        _table(["study", "kind", *heads], rows)
        print("\n## Power: the paper's own effects, standard deviation between seeds 0.2 points, % of verdicts\n")
        power = run({"paper": lambda c: papers(c, 0.2)})
        _table(
            ["claim", "paper's effect", *(f"{n} seeds: right" for n in SEEDS), *(f"{n}: no effect" for n in SEEDS)],
            [
                [
                    *(c.id, f"{c.paper:+.1f}"),
                    *(_percent(power["paper", s, n].rate(c.id, SUPPORTED)) for n in SEEDS),
                    *(_percent(power["paper", s, n].rate(c.id, NO_EFFECT)) for n in SEEDS),
                ]
                for s, c in every
            ],
        )
        print("\nCoverage of the 95 % intervals in that world, %: ", end="")
        cover = [power["paper", s, n].covered[c.id] / rounds for s, c in every for n in SEEDS]
        print(f"{_percent(min(cover))} to {_percent(max(cover))} by claim and seeds.")
    print(f"\n{time.perf_counter() - began:.0f} s")


def _alarms(tally: Tally, claim: Claim) -> float:
    return tally.raw_rate(claim.id, CONTRADICTED, *([] if claim.direction == NOT_POSITIVE else [SUPPORTED]))


def mistakes(tally: Tally, claim: Claim, world: World) -> float:
    """Share of wrong sides in a world where one side is wrong."""
    sides = wrong_sides(claim, world)
    return tally.rate(claim.id, NO_EFFECT) if NO_EFFECT in sides else tally.raw_rate(claim.id, *sides)


def wrong_sides(claim: Claim, world: World) -> tuple[str, ...]:
    """The verdicts on a claim that are wrong, in a world of `hardest` or without an effect."""
    true = truth(claim, world.means)
    if claim.direction == NOT_POSITIVE or true == 0:
        return SUPPORTED, CONTRADICTED
    if claim.kind == "contrast":
        return (NO_EFFECT,)
    return (CONTRADICTED if true > 0 else SUPPORTED,)


def _both(joint: float, holm: float, scale: float) -> str:
    return f"{scale * joint:.1f} ({scale * holm:.1f})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A Markdown table."""
    widths = [max(len(row[k]) for row in [heads, *rows]) for k in range(len(heads))]
    for row in [heads, ["-" * width for width in widths], *rows]:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")


if __name__ == "__main__":
    main()
