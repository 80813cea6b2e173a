"""From claims and runs to verdicts: each claim tested, all claims of a study adjusted together, and said in words."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.claims.hypothesis_tests import TestResult, run_test
from analysis.claims.parser import NOT_POSITIVE, Claim
from analysis.claims.power import MOST, seeds_needed
from analysis.claims.step_down import Family, families
from analysis.claims.verdict import (
    CONTRADICTED,
    DECIDED,
    ERROR,
    INCONCLUSIVE,
    METRICS,
    NO_EFFECT,
    NOT_TESTED,
    SUPPORTED,
    Verdict,
    size,
)
from analysis.runs.cell import Cell
from analysis.stats.alpha_spending import nominal_levels
from analysis.stats.estimate import NO_BITS
from analysis.stats.intervals import EXAMPLES, LEVEL, SEEDS
from analysis.stats.sample import Sample

WORDS = ("study", "source", "says", "direction", "margin", "unit", "metric", "over")
NUMBERS = ("effect", "low", "high", "p", "levene_p")
"""Fields that a verdict has from its claim and from its test as they are."""


@dataclass(frozen=True)
class Judgement:
    """A claim, what the runs say of it (None where cells have no run), and the verdict.

    Attributes:
        p_adjusted: two-sided p adjusted over the study's claims together (step_down); NaN where there is none.
        p_holm: the same by Holm's rule.
        rivals: how many claims of the study were tested and are not decided, this one among them.
    """

    claim: Claim
    tested: TestResult | None
    verdict: str
    p_adjusted: float
    p_holm: float
    rivals: int


@dataclass(frozen=True)
class Stage:
    """A look: the runs that it had, and the shares of the plan's seeds at all looks up to it; none without a plan."""

    sample: Sample
    shares: Sequence[float] = ()


def judge(claims: Sequence[Claim], sample: Sample, looks: Sequence[float] = (), brief: bool = False) -> list[Judgement]:
    """Judge all claims of one study.

    Args:
        looks: of a sequential plan, the shares of its seeds that were in at each look up to this one (alpha_spending).
            Each p is adjusted for the looks before and then over claims.
        brief: verdicts alone count, as in simulations: an adjusted p beyond the level is not found any closer.

    Supported or contradicted: the two-sided p, adjusted over those claims of the study that the runs can test, is at
    most 5 %. No effect: the effect lies within the claim's margin, by two one-sided tests, adjusted likewise; an effect
    that is surely there and surely smaller than the margin counts as none. Each kind of verdict is thus wrong for some
    claim of the study in at most one study of twenty. One seed decides nothing: its p is that of two trained networks,
    not of two structures.
    """
    return _judge(claims, sample, looks, brief)[0]


def _judge(
    claims: Sequence[Claim], sample: Sample, looks: Sequence[float] = (), brief: bool = False
) -> tuple[list[Judgement], Family, Family]:
    """The judgements, and the families that they were adjusted over: of differences, and of equivalence."""
    tested = [run_test(claim, sample) if _complete(claim, sample) else None for claim in claims]
    differ, none = families(claims, tested, sample, looks)
    of_images = {k: one.p for k, one in enumerate(tested) if one and one.kind == EXAMPLES and not math.isnan(one.p)}
    by_holm = {**Family(differ.p, None).adjusted(), **Family(of_images, None).adjusted()}
    adjusted, within = {**by_holm, **differ.adjusted(brief)}, none.adjusted(brief)
    verdicts = [_verdict(one, adjusted.get(k, math.nan), within.get(k, math.nan)) for k, one in enumerate(tested)]
    rivals = max(1, sum(verdicts[k] == INCONCLUSIVE for k in differ.p))
    found = [
        Judgement(claim, tested[k], verdicts[k], adjusted.get(k, math.nan), by_holm.get(k, math.nan), rivals)
        for k, claim in enumerate(claims)
    ]
    return found, differ, none


def verdicts(
    claims: Sequence[Claim],
    sample: Sample,
    scope: str,
    protocol_id: str,
    ids: Mapping[Cell, str],
    looks: Sequence[Stage] = (),
) -> list[Verdict]:
    """Verdicts on the claims of one study under one protocol, ready to be shown.

    Args:
        ids: cell_id of every cell that a plan has or that was run.
        looks: of a sequential plan, those so far. A claim is shown as it was at the look that decided it, else as at
            the last one; of runs that were added since, the next look will tell.
    """
    shown: list[Verdict] = []
    for stage in looks or [Stage(sample)]:
        found, differ, none = _judge(claims, stage.sample, stage.shares)
        more = _simultaneous(found, stage, differ, none)
        now = [_shown(one, stage, scope, protocol_id, ids, numbers) for one, numbers in zip(found, more, strict=True)]
        shown = [old if old.verdict in DECIDED else new for old, new in zip(shown or now, now, strict=True)]
    return shown


def _simultaneous(found: Sequence[Judgement], stage: Stage, differ: Family, none: Family) -> Iterator[dict[str, Any]]:
    """Interval at the level of each verdict, and the size beside the paper's; nothing where there is no p of seeds.

    Of open claims: the interval at the level at which the procedure stopped. Of decided ones: the interval that holds
    for all claims at once, cut at 0 or the margin, which the later steps exclude (Guilbaud, Biometrical Journal 50,
    2008). Sizes go by the interval for all claims at once. All are at the level of the present look.
    """
    sample, raw = stage.sample, {k: one.tested.p for k, one in enumerate(found) if one.tested}

    def at(level: float, one: TestResult) -> float:
        return nominal_levels(level, stage.shares, one.cells)[-1] if stage.shares else level

    undecided = [k for k in differ.p if not found[k].p_adjusted <= 1 - LEVEL]
    every, within = differ.level(list(differ.p)), none.level(list(none.p))
    stopped = differ.level(undecided) if undecided else every
    # The least p of those left open is above the level, which the search finds to a few digits only.
    least = min((raw[k] * (1 - 1e-9) for k in undecided), default=1.0)
    for k, one in enumerate(found):
        if k not in differ.p or one.tested is None:
            yield {}
            continue
        claim = one.claim
        at_once = run_test(claim, sample, at(every, one.tested))
        low, high = at_once.low, at_once.high
        null = claim.margin if claim.direction == NOT_POSITIVE else 0.0
        upwards = (one.verdict == SUPPORTED) == (claim.direction != NOT_POSITIVE)
        if one.verdict == NO_EFFECT:
            inner = run_test(claim, sample, 2 * at(within, one.tested))
            low, high = max(inner.low, -claim.margin), min(inner.high, claim.margin)
        elif k in undecided:
            last = run_test(claim, sample, min(at(stopped, one.tested), least))
            low, high = last.low, last.high
        else:
            low, high = (max(low, null), high) if upwards else (low, min(high, null))
        beside = "" if claim.paper is None else size(at_once.low, at_once.high, claim.paper, claim.margin)
        yield {"low_simultaneous": _number(low), "high_simultaneous": _number(high), "size": beside}


def _complete(claim: Claim, sample: Sample) -> bool:
    return all(sample.of(claim.metric).errors.get(ref) for ref in claim.refs)


def _verdict(one: TestResult | None, p: float, p_none: float) -> str:
    """From the adjusted p of a difference and of none."""
    if one is None:
        return NOT_TESTED
    if one.kind != SEEDS:
        return INCONCLUSIVE
    if p_none <= 1 - LEVEL:
        return NO_EFFECT
    if p <= 1 - LEVEL:
        return SUPPORTED if one.p_for < one.p_against else CONTRADICTED
    return INCONCLUSIVE


def _shown(
    found: Judgement, stage: Stage, scope: str, protocol_id: str, ids: Mapping[Cell, str], more: Mapping[str, Any]
) -> Verdict:
    """A judgement as it is shown; `more`: fields of _simultaneous."""
    claim, one, sample = found.claim, found.tested, stage.sample
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
        p_adjusted=_number(found.p_adjusted),
        p_holm=_number(found.p_holm),
        method=one.method if one else "",
        seeds_least=min(seeds),
        seeds_most=max(seeds),
        seeds_needed=needed,
        reason=" ".join(filter(None, [_reason(found, sample, ids, needed), _early(found.verdict, stage.shares)])),
        scope=scope.replace(METRICS[ERROR][0], METRICS[claim.metric][0], 1),
        cells=tuple((ids.get(ref, ""), sample.name(ref)) for ref in claim.refs),
        **more,
    )


def _early(verdict: str, shares: Sequence[float]) -> str:
    """What must be known of a verdict that stopped a plan before its last look."""
    if verdict not in DECIDED or not shares or shares[-1] == 1:
        return ""
    bias = "" if verdict == NO_EFFECT else ", so the effect is probably less than it seems"
    return f"Decided at look {len(shares)}, before the last{bias}."


def _reason(found: Judgement, sample: Sample, planned: Mapping[Cell, str], needed: int | None) -> str:
    """What is missing, or what must be known to read the verdict."""
    claim, one = found.claim, found.tested
    if one is None:
        lacking = [ref for ref in claim.refs if not sample.errors.get(ref)]
        never = [ref for ref in lacking if ref not in planned]
        waiting = [ref for ref in lacking if ref in planned]
        parts = [f"No run is done of {_names(waiting, sample)}."] if waiting else []
        parts += [f"Not planned: {_names(never, sample)}."] if never else []
        return " ".join(parts) or f"The runs of these cells do not say their {METRICS[claim.metric][0]}."
    if one.kind == EXAMPLES:
        differ = "differ" if one.p <= 1 - LEVEL else "do not differ for certain"
        whose = "these two networks" if len(claim.refs) == 2 else "these networks"
        return (
            f"One seed: run-to-run variation not covered. On the test images {whose} {differ}; "
            "two seeds or more are needed to judge the claim."
        )
    if one.method == NO_BITS:
        return (
            "The claim is over seeds and test images, and it is not known which images each run has right: correct.npy "
            "is absent or cannot be read."
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
