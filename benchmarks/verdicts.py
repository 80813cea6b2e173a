"""How often verdicts are wrong, and how often right: `python -m benchmarks.verdicts` judges simulated studies.

Errors are drawn, not trained: normal about true means, as independent seeds would give them. Without a true effect,
`supported` and `contradicted` must come out at 5 % at most, claim by claim (raw p) and for the family (Holm). With the
paper's own effects the same counts are power.
"""

import argparse
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

from analysis import paper
from analysis.claims.parser import NOT_POSITIVE, Claim, read_claims
from analysis.claims.verdict import CONTRADICTED, NO_EFFECT, SUPPORTED
from benchmarks.worlds import LEVEL, Tally, World, false_alarm, flat, hardest, papers, simulate, truth

SEEDS = (2, 3, 5)


def _job(job: tuple[Sequence[Claim], World, int, int, int]) -> Tally:
    claims, world, seeds, rounds, start = job
    return simulate(claims, world, seeds, rounds, false_alarm, start)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2000, help="simulated studies for each number")
    rounds = parser.parse_args().rounds
    began, claims = time.perf_counter(), read_claims()
    studies = {study: [claim for claim in claims if claim.study == study] for study in paper.STUDIES}
    error = 100 * math.sqrt(LEVEL * (1 - LEVEL) / rounds)
    print(f"{rounds} simulated studies a number; at 5 % the standard error is {error:.2f} points.\n")
    with ProcessPoolExecutor() as pool:

        def run(worlds: dict[str, Callable[[Sequence[Claim]], World]]) -> dict[tuple[str, str, int], Tally]:
            keys = [(name, study, n) for name in worlds for study in studies for n in SEEDS]
            jobs = [(studies[study], worlds[name](claims), n, rounds, k) for k, (name, study, n) in enumerate(keys)]
            return dict(zip(keys, pool.map(_job, jobs), strict=True))

        nothing = run({"flat": flat})
        print("## No true effect: raw test of each claim comes out either way, %\n")
        print("A claim that nothing is gained is true here: `supported` is right, and not counted.\n")
        _table(
            ["claim", *(f"{n} seeds" for n in SEEDS)],
            [
                [c.id, *(_percent(_alarms(nothing["flat", s, n], c)) for n in SEEDS)]
                for s in studies
                for c in studies[s]
            ],
        )
        print("\n## Family: any claim of a study wrongly supported or contradicted (Holm), %\n")
        ways: dict[str, Callable[[Sequence[Claim]], World]] = {
            "standard deviations 3 to 1": lambda c: replace(flat(c), uneven=math.sqrt(3)),
            "cells of a seed correlate, 0.5": lambda c: replace(flat(c), shared=0.5),
            "a fifth of the runs missing": lambda c: replace(flat(c), lost=0.2),
        }
        others = run(ways)
        _table(
            ["world", "study", *(f"{n} seeds" for n in SEEDS)],
            [
                [name, study, *(_percent(tallies[key, study, n].family / rounds) for n in SEEDS)]
                for name, key, tallies in (
                    ("as assumed", "flat", nothing),
                    *((name, name, others) for name in ways),
                )
                for study in studies
            ],
        )
        print("\n## Each kind at its hardest: raw test on the wrong side (or `no effect`), %\n")
        rows = []
        for study, mine in studies.items():
            for name, claim, world in hardest(mine):
                tallies = pool.map(_job, [([claim], world, n, rounds, n) for n in SEEDS])
                rows.append([study, name, *(_percent(mistakes(tally, claim, world)) for tally in tallies)])
        _table(["study", "kind", *(f"{n} seeds" for n in SEEDS)], rows)
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
                for s in studies
                for c in studies[s]
            ],
        )
        print("\nCoverage of the 95 % intervals in that world, %: ", end="")
        cover = [power["paper", s, n].covered[c.id] / rounds for s in studies for c in studies[s] for n in SEEDS]
        print(f"{_percent(min(cover))} to {_percent(max(cover))} by claim and seeds.")
    print(f"\n{time.perf_counter() - began:.0f} s")


def _alarms(tally: Tally, claim: Claim) -> float:
    if claim.direction == NOT_POSITIVE:
        return tally.raw[claim.id, CONTRADICTED] / tally.rounds
    return tally.raw_rate(claim.id)


def mistakes(tally: Tally, claim: Claim, world: World) -> float:
    """Share of wrong sides in a world where one side is wrong."""
    true = truth(claim, world.means)
    if claim.direction != NOT_POSITIVE and claim.kind == "contrast":
        return tally.rate(claim.id, NO_EFFECT)
    if claim.direction == NOT_POSITIVE or true == 0:
        return tally.raw_rate(claim.id)
    side = CONTRADICTED if true > 0 else SUPPORTED
    return tally.raw[claim.id, side] / tally.rounds


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A Markdown table."""
    widths = [max(len(row[k]) for row in [heads, *rows]) for k in range(len(heads))]
    for row in [heads, ["-" * width for width in widths], *rows]:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")


if __name__ == "__main__":
    main()
