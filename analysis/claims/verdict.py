"""What a verdict on a claim is: plain data, between the statistics and whatever shows it."""

from dataclasses import dataclass

SUPPORTED, CONTRADICTED, NO_EFFECT, INCONCLUSIVE = "supported", "contradicted", "no effect", "inconclusive"
VERDICTS = (SUPPORTED, CONTRADICTED, NO_EFFECT, INCONCLUSIVE)

POINTS, TAU = "points", "tau"
"""Units of an effect: percentage points of top-1 error, or Kendall's tau (-1 .. 1)."""


@dataclass(frozen=True)
class Verdict:
    """A claim judged under one protocol. Numbers that there are none of are None, never NaN.

    Attributes:
        claim, study, source, says: id, study, where the paper says it, and the sentence, from claims.yaml.
        effect, low, high: in `unit`, with the 95 % interval; above 0 is what the claim says, unless `direction` is
            `not_positive` (the claim then is that the effect does not exceed the margin).
        margin: effects no larger than this count as none. paper_effect: the same contrast of the paper's numbers.
        p, p_holm: two-sided p of `no effect`, raw and adjusted over the study's claims.
        method: how interval and p were found, in words. levene_p: that the cells' spreads are alike, where testable.
        seeds_least, seeds_most: seeds done in the cells that the claim is about.
        seeds_needed: seeds a cell that would probably decide an inconclusive claim, at the effect and spread seen.
        reason: one sentence: what is missing, or what else must be known to read the verdict; may be empty.
        scope: data, images, epochs and seeds, in one sentence.
        cells: (cell_id, name) of the cells compared, those without a run with an empty id.
    """

    claim: str
    study: str
    source: str
    says: str
    protocol_id: str
    verdict: str
    unit: str
    direction: str
    effect: float | None
    low: float | None
    high: float | None
    margin: float
    paper_effect: float | None
    p: float | None
    p_holm: float | None
    method: str
    levene_p: float | None
    seeds_least: int
    seeds_most: int
    seeds_needed: int | None
    reason: str
    scope: str
    cells: tuple[tuple[str, str], ...]
