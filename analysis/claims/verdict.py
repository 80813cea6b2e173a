"""What a verdict on a claim is: plain data, between the statistics and whatever shows it."""

from dataclasses import dataclass

SUPPORTED, CONTRADICTED, NO_EFFECT, INCONCLUSIVE = "supported", "contradicted", "no effect", "inconclusive"
NOT_TESTED = "not tested"
DECIDED = (SUPPORTED, CONTRADICTED, NO_EFFECT)
VERDICTS = (*DECIDED, INCONCLUSIVE, NOT_TESTED)

AS_LARGE, SMALLER, LARGER = "as large", "smaller", "larger"
OPPOSITE, NOT_TOLD_APART = "opposite", "not told apart"

POINTS, TOP5_POINTS, NATS, TAU = "points", "points of top-5 error", "nats", "tau"
"""Units of an effect: percentage points of top-1 or top-5 error, nats of loss, or Kendall's tau (-1 .. 1)."""

METRICS = {"error": ("top-1 error", POINTS), "top5_error": ("top-5 error", TOP5_POINTS), "loss": ("loss", NATS)}
"""What a claim may be about, with its name in a sentence and its unit."""

ERROR = "error"
SEEDS_ALONE, SEEDS_AND_IMAGES = "seeds", "seeds and images"
"""What an effect is to hold for: other seeds on the same test images, or other test images, too."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A claim judged under one protocol. Numbers that there are none of are None, never NaN.

    Attributes:
        claim, study, source, says: id, study, where the paper says it, and the sentence, from claims.yaml.
        metric: what the effect is a difference of: a key of METRICS. over: what it is to hold for besides these very
            runs: other `seeds`, or `seeds and images`.
        effect, low, high: in `unit`, with the 95 % interval; above 0 is what the claim says, unless `direction` is
            `not_positive` (the claim then is that the effect does not exceed the margin).
        low_simultaneous, high_simultaneous: the interval at the level that the verdict is taken at, over all claims of
            the study: it excludes 0 (`no effect`: lies within the margin) where the claim is decided, and only there.
        margin: effects no larger than this count as none. paper_effect: the same contrast of the paper's numbers.
        size: the effect beside the paper's, AS_LARGE .. NOT_TOLD_APART; empty where either is not known.
        p, p_adjusted: two-sided p of `no effect`, raw and adjusted over the study's claims together (step_down): what
            the verdict goes by. p_holm: adjusted by Holm's rule, which is never less.
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
    metric: str = ERROR
    over: str = SEEDS_ALONE
    unit: str
    direction: str
    effect: float | None
    low: float | None
    high: float | None
    low_simultaneous: float | None = None
    high_simultaneous: float | None = None
    margin: float
    paper_effect: float | None
    size: str = ""
    p: float | None
    p_adjusted: float | None = None
    p_holm: float | None
    method: str
    levene_p: float | None
    seeds_least: int
    seeds_most: int
    seeds_needed: int | None
    reason: str
    scope: str
    cells: tuple[tuple[str, str], ...]


def size(low: float, high: float, paper: float, margin: float) -> str:
    """An effect beside the paper's, from a simultaneous interval of the effect.

    As large: the whole interval lies within the margin of the paper's effect. Else the interval may exclude the paper's
    effect: the effect is smaller, larger, or of the other sign.
    """
    if paper < 0:
        low, high, paper = -high, -low, -paper
    if abs(low - paper) <= margin and abs(high - paper) <= margin:
        return AS_LARGE
    if high < paper:
        return OPPOSITE if high < 0 else SMALLER
    return LARGER if low > paper else NOT_TOLD_APART
