"""From claims and runs to verdicts: each claim tested, all claims of a study adjusted together, and said in words."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.claims.hypothesis_tests import TestResult, run_test
from analysis.claims.parser import NOT_POSITIVE, Claim
from analysis.claims.power import MOST, seeds_needed
from analysis.claims.verdict import CONTRADICTED, INCONCLUSIVE, NO_EFFECT, SUPPORTED, Verdict
from analysis.runs.cell import Cell
from analysis.stats.intervals import EXAMPLES, LEVEL, SEEDS
from analysis.stats.multiple_comparisons import holm
from analysis.stats.sample import Sample

WORDS = ("study", "source", "says", "direction", "margin", "unit")
NUMBERS = ("effect", "low", "high", "p", "levene_p")
"""Fields that a verdict has from its claim and from its test as they are."""


@dataclass(frozen=True)
class Judgement:
    """A claim, what the runs say of it (None where cells have no run), and the verdict.

    Attributes:
        p_holm: two-sided p adjusted over the study's claims; NaN where there is none.
        rivals: how many claims of the study were tested and are not decided, this one among them.
    """

    claim: Claim
    tested: TestResult | None
    verdict: str
    p_holm: float
    rivals: int


def judge(claims: Sequence[Claim], sample: Sample) -> list[Judgement]:
    """Judge all claims of one study.

    Supported or contradicted: the two-sided p, adjusted by Holm over those claims of the study that the runs can test,
    is at most 5 %. No effect: the effect lies within the claim's margin, by two one-sided tests, adjusted likewise; an
    effect that is surely there and surely smaller than the margin counts as none. Each kind of verdict is thus wrong
    for some claim of the study in at most one study of twenty. One seed decides nothing: its p is that of two trained
    networks, not of two structures.
    """
    tested = [run_test(claim, sample) if _complete(claim, sample) else None for claim in claims]
    adjusted = [math.nan] * len(claims)
    for kind in (SEEDS, EXAMPLES):
        _adjust(adjusted, tested, kind, [one.p if one else math.nan for one in tested])
    within = [math.nan] * len(claims)
    _adjust(within, tested, SEEDS, [one.p_none if one else math.nan for one in tested])
    verdicts = [_verdict(one, p, none) for one, p, none in zip(tested, adjusted, within, strict=True)]
    rivals = sum(
        one is not None and one.kind == SEEDS and v == INCONCLUSIVE for one, v in zip(tested, verdicts, strict=True)
    )
    return [
        Judgement(claim, one, verdict, p, max(1, rivals))
        for claim, one, verdict, p in zip(claims, tested, verdicts, adjusted, strict=True)
    ]


def verdicts(
    claims: Sequence[Claim], sample: Sample, scope: str, protocol_id: str, ids: Mapping[Cell, str]
) -> list[Verdict]:
    """Verdicts on the claims of one study under one protocol, ready to be shown.

    Args:
        ids: cell_id of every cell that a plan has or that was run.
    """
    return [_shown(found, sample, scope, protocol_id, ids) for found in judge(claims, sample)]


def _complete(claim: Claim, sample: Sample) -> bool:
    return all(sample.errors.get(ref) for ref in claim.refs)


def _adjust(into: list[float], tested: Sequence[TestResult | None], kind: str, p: Sequence[float]) -> None:
    """Holm over the claims whose test is of a kind and has a p."""
    places = [k for k, one in enumerate(tested) if one and one.kind == kind and not math.isnan(p[k])]
    for k, value in zip(places, holm([p[k] for k in places]), strict=True):
        into[k] = value


def _verdict(one: TestResult | None, p_holm: float, p_none: float) -> str:
    if one is None or one.kind != SEEDS:
        return INCONCLUSIVE
    if p_none <= 1 - LEVEL:
        return NO_EFFECT
    if p_holm <= 1 - LEVEL:
        return SUPPORTED if one.p_for < one.p_against else CONTRADICTED
    return INCONCLUSIVE


def _shown(found: Judgement, sample: Sample, scope: str, protocol_id: str, ids: Mapping[Cell, str]) -> Verdict:
    claim, one = found.claim, found.tested
    seeds = [len(sample.errors.get(ref, {})) for ref in claim.refs]
    words: dict[str, Any] = {key: getattr(claim, key) for key in WORDS}
    numbers: dict[str, Any] = {key: _number(getattr(one, key, None)) for key in NUMBERS}
    needed = None
    if one and found.verdict == INCONCLUSIVE:
        needed = seeds_needed(one, min(seeds), found.rivals)
    return Verdict(
        **words,
        claim=claim.id,
        protocol_id=protocol_id,
        verdict=found.verdict,
        **numbers,
        paper_effect=claim.paper,
        p_holm=_number(found.p_holm),
        method=one.method if one else "",
        seeds_least=min(seeds),
        seeds_most=max(seeds),
        seeds_needed=needed,
        reason=_reason(found, sample, ids, needed),
        scope=scope,
        cells=tuple((ids.get(ref, ""), sample.name(ref)) for ref in claim.refs),
    )


def _reason(found: Judgement, sample: Sample, planned: Mapping[Cell, str], needed: int | None) -> str:
    """What is missing, or what must be known to read the verdict."""
    claim, one = found.claim, found.tested
    if one is None:
        lacking = [ref for ref in claim.refs if not sample.errors.get(ref)]
        never = [ref for ref in lacking if ref not in planned]
        waiting = [ref for ref in lacking if ref in planned]
        parts = [f"no run is done of {_names(waiting, sample)}"] if waiting else []
        parts += [f"not planned: {_names(never, sample)}"] if never else []
        return f"Not tested: {'; '.join(parts)}."
    if one.kind == EXAMPLES:
        differ = "differ" if one.p <= 1 - LEVEL else "do not differ for certain"
        whose = "these two networks" if len(claim.refs) == 2 else "these networks"
        return (
            f"One seed: run-to-run variation not covered. On the test images {whose} {differ}; "
            "two seeds or more are needed to judge the claim."
        )
    if one.kind != SEEDS:
        if all(len(sample.errors[ref]) == 1 for ref in claim.refs):
            return "One seed, and its test images cannot be compared: two seeds or more are needed."
        return (
            "The spread between seeds is not known: two seeds or more are needed in these cells, with unlike results."
        )
    if found.verdict == NO_EFFECT and one.p <= 1 - LEVEL:
        return "Not zero, but less than the margin."
    if found.verdict != INCONCLUSIVE:
        return ""
    alone = "Beyond chance on its own, not among all claims of the study. " if one.p <= 1 - LEVEL else ""
    if needed:
        return f"{alone}About {needed} seeds a cell would decide it if the effect is what it seems."
    if claim.kind == "order":
        return f"{alone}Too few pairs of cells differ for certain; more seeds would tell more of them apart."
    near = "too close to the margin" if claim.direction == NOT_POSITIVE else "too small, or too close to the margin"
    return f"{alone}The effect seen is {near}: even {MOST:,} seeds a cell might not decide it."


def _names(refs: Sequence[Cell], sample: Sample) -> str:
    """`1x g=1, 1x g=8`."""
    return ", ".join(map(sample.name, refs))


def _number(value: float | None) -> float | None:
    """A finite number, rounded so that text and JSON agree; None else."""
    return round(float(value), 6) if value is not None and math.isfinite(value) else None
