"""A plan of looks, carried out on a study whose runs are all known: for benchmarks and `make cost`."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from analysis.claims.judge import judge
from analysis.claims.parser import Claim
from analysis.claims.verdict import DECIDED
from analysis.runs.cell import Cell
from analysis.stats.sample import Sample


class Decided(NamedTuple):
    """A verdict and the look, from 0, that it came of."""

    verdict: str
    look: int


def carry_out(
    claims: Sequence[Claim], full: Mapping[Cell, Mapping[int, float]], seeds: Sequence[int], planned: bool = True
) -> tuple[dict[str, Decided], dict[Cell, int]]:
    """Look at a study at these numbers of seeds; seeds are added only to cells that open claims need.

    Args:
        full: errors of all runs that there can be, in percent.
        seeds: at each look, rising. planned: whether alpha is spent over the looks, else each has the full level.

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
        sample = Sample({ref: {s: full[ref][s] for s in range(count)} for ref, count in have.items()})
        for one in judge(claims, sample, [n / seeds[-1] for n in seeds[: k + 1]] if planned else [], brief=True):
            if one.verdict in DECIDED:
                verdicts.setdefault(one.claim.id, Decided(one.verdict, k))
    return verdicts, have
