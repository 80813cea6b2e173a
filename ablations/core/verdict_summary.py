"""The verdicts of claims.json in one sentence, for the terminal and for the page."""

from collections.abc import Iterable, Mapping
from typing import Any

OPEN = ("inconclusive", "not tested")
"""Verdicts that leave a claim undecided: runs that do not tell, and cells without a run."""


def summary(claims: Iterable[Mapping[str, Any]]) -> str:
    """`6 supported; 8 open, 7 of them surely smaller than in the paper; 8 not tested`, in this order.

    Args:
        claims: entries of claims.json. An effect of the other sign than the paper's is smaller, too.
    """
    given = list(claims)
    counts = {word: sum(one["verdict"] == word for one in given) for word in ("supported", "contradicted", "no effect")}
    parts = [f"{number:,} {word}" for word, number in counts.items() if number]
    left = [one for one in given if one["verdict"] == OPEN[0]]
    if left:
        small = sum(one.get("size") in ("smaller", "opposite") for one in left)
        parts.append(f"{len(left):,} open" + (f", {small:,} of them surely smaller than in the paper" if small else ""))
    untested = sum(one["verdict"] == OPEN[1] for one in given)
    return "; ".join([*parts, *([f"{untested:,} {OPEN[1]}"] if untested else [])])
