"""Simulated studies: true errors, how seeds scatter about them, and the count of verdicts on many draws."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.claims.budget import carry_out
from analysis.claims.grammar import joint_effect
from analysis.claims.judge import Judgement, judge
from analysis.claims.parser import NOT_POSITIVE, Claim
from analysis.claims.verdict import CONTRADICTED, SUPPORTED
from analysis.runs.cell import Cell
from analysis.runs.study import study
from analysis.stats.sample import Sample

LEVEL = 0.05


def normal(source: np.random.Generator, seeds: int) -> np.ndarray:
    """Normal deviations."""
    return source.normal(size=seeds)


def heavy(source: np.random.Generator, seeds: int) -> np.ndarray:
    """Heavy tails: Student's t with 5 degrees of freedom."""
    return source.standard_t(5, size=seeds) / math.sqrt(5 / 3)


def skewed(source: np.random.Generator, seeds: int) -> np.ndarray:
    """Exponential deviations: a seed that fails does so to one side."""
    return source.exponential(size=seeds) - 1


@dataclass(frozen=True)
class World:
    """How seeds come out: true mean errors (percent), standard deviation, and what is not as the method assumes.

    Attributes:
        uneven: cells' standard deviations go from sd / uneven to sd x uneven.
        shared: correlation of all cells of one seed, as equal batches might cause.
        lost: share of runs that are missing.
        noise: deviations of a cell's seeds, of mean 0 and standard deviation 1.
    """

    means: Mapping[Cell, float]
    sd: float = 1.0
    uneven: float = 1.0
    shared: float = 0.0
    lost: float = 0.0
    noise: Callable[[np.random.Generator, int], np.ndarray] = normal

    def draw(self, seeds: int, source: np.random.Generator) -> Sample:
        """One simulated study."""
        common = source.normal(size=seeds)
        refs = list(self.means)
        scales = self.sd * self.uneven ** np.linspace(-1, 1, len(refs))[source.permutation(len(refs))]
        errors = {}
        for ref, scale in zip(refs, scales, strict=True):
            own = self.noise(source, seeds)
            values = self.means[ref] + scale * (math.sqrt(self.shared) * common + math.sqrt(1 - self.shared) * own)
            kept = source.random(seeds) >= self.lost if self.lost else np.ones(seeds, bool)
            errors[ref] = {seed: float(values[seed]) for seed in range(seeds) if kept[seed] or not kept.any()}
        return Sample(errors)


@dataclass
class Tally:
    """Counts over simulated studies, by claim: raw p at 5 % with its side, verdicts, and studies with any of them.

    `decided` counts claims found on one side or the other; with `_holm`, had Holm's p decided.
    """

    rounds: int
    raw: Counter[tuple[str, str]]
    verdicts: Counter[tuple[str, str]]
    covered: Counter[str]
    family: int
    family_holm: int = 0
    decided: int = 0
    decided_holm: int = 0

    def rate(self, claim: str, *kinds: str) -> float:
        """Share of studies with one of these verdicts."""
        return sum(self.verdicts[claim, kind] for kind in kinds) / self.rounds

    def raw_rate(self, claim: str, *kinds: str) -> float:
        """Share of studies whose unadjusted test of the claim comes out on one of these sides."""
        return sum(self.raw[claim, kind] for kind in kinds) / self.rounds


def simulate(
    claims: Sequence[Claim], world: World, seeds: int, rounds: int, wrong: Callable[[Claim, str], bool], start: int = 0
) -> Tally:
    """Judge simulated studies.

    Args:
        claims: of one study.
        wrong: whether a verdict on a claim is a mistake in this world; a study with any counts for the family.
        start: seed of the random numbers.
    """
    tally = Tally(rounds, Counter(), Counter(), Counter(), 0)
    source = np.random.default_rng(start)
    for _ in range(rounds):
        found = judge(claims, world.draw(seeds, source), brief=True)
        tally.family += any(wrong(one.claim, one.verdict) for one in found)
        by_holm = [(one.claim, side(one)) for one in found if one.p_holm <= LEVEL]
        tally.family_holm += any(wrong(claim, verdict) for claim, verdict in by_holm)
        tally.decided_holm += len(by_holm)
        tally.decided += sum(one.p_adjusted <= LEVEL for one in found)
        for one in found:
            tally.verdicts[one.claim.id, one.verdict] += 1
            if one.tested and one.tested.p <= LEVEL:
                tally.raw[one.claim.id, side(one)] += 1
            true = truth(one.claim, world.means)
            tally.covered[one.claim.id] += bool(one.tested and one.tested.low <= true <= one.tested.high)
    return tally


@dataclass(frozen=True)
class Sequential:
    """What looks come to, over simulated studies: studies with a mistake by each look, claims decided, runs made."""

    wrong_by: tuple[float, ...]
    decided: float
    runs: float

    @property
    def wrong(self) -> float:
        """Studies with a mistake at any look."""
        return self.wrong_by[-1]


def simulate_looks(
    claims: Sequence[Claim],
    world: World,
    seeds: Sequence[int],
    rounds: int,
    wrong: Callable[[Claim, str], bool],
    start: int = 0,
    planned: bool = True,
) -> Sequential:
    """Look at studies at these numbers of seeds; seeds are added only to cells that open claims need.

    Args:
        seeds: at each look, rising; planned: whether alpha is spent over the looks, else each has the full level.
    """
    source, bad, decided, runs = np.random.default_rng(start), np.zeros(len(seeds), int), 0, 0
    for _ in range(rounds):
        verdicts, have = carry_out(claims, world.draw(seeds[-1], source).errors, seeds, planned)
        mistakes = [
            verdicts[one.id].look for one in claims if one.id in verdicts and wrong(one, verdicts[one.id].verdict)
        ]
        if mistakes:
            bad[min(mistakes) :] += 1
        decided += len(verdicts)
        runs += sum(have.values())
    return Sequential(tuple((bad / rounds).tolist()), decided / rounds, runs / rounds)


def side(one: Judgement) -> str:
    """The verdict of a claim that is decided."""
    return SUPPORTED if one.tested and one.tested.p_for < one.tested.p_against else CONTRADICTED


def refs_of(claims: Sequence[Claim]) -> list[Cell]:
    """All cells of claims."""
    refs = {ref for claim in claims for ref in claim.refs}
    return sorted(refs, key=lambda ref: (ref["groups"], ref["width"], ref["shuffle"]))


def flat(claims: Sequence[Claim]) -> World:
    """No true effect: every cell has the same mean error."""
    return World(dict.fromkeys(refs_of(claims), 40.0))


def papers(claims: Sequence[Claim], sd: float) -> World:
    """The paper's own mean errors."""
    of = {ref: study(claim.study) for claim in claims for ref in claim.refs}
    found = {ref: of[ref].paper(ref) for ref in refs_of(claims)}
    return World({ref: number.value for ref, number in found.items() if number}, sd)


def hardest(claims: Sequence[Claim]) -> list[tuple[str, Claim, World]]:
    """For each kind of claim the true means at which a wrong verdict is likeliest, with a name."""
    first = {(claim.kind, claim.direction): claim for claim in reversed(claims)}
    found = []
    for (kind, direction), claim in first.items():
        means = dict(flat(claims).means)
        if kind == "any":  # one gain is 0, the others are far below: `contradicted` is likeliest
            means |= {contrast.refs[1]: 60.0 for contrast in claim.contrasts[1:]}
        elif kind == "every":  # one gain is 0, the others are far above: `supported` is likeliest
            means |= {contrast.refs[1]: 20.0 for contrast in claim.contrasts[1:]}
        elif kind == "order":  # of ten pairs five agree with the paper and five do not
            means |= dict(zip(claim.refs, (44.0, 46.0, 40.0, 48.0, 42.0), strict=True))
        elif direction == NOT_POSITIVE:  # the effect is the margin
            means[claim.contrasts[0].refs[1]] -= claim.margin
        else:
            continue
        found.append((f"{kind}, {direction}" if direction == NOT_POSITIVE else kind, claim, World(means)))
    gain = next(claim for claim in claims if claim.kind == "contrast" and claim.direction != NOT_POSITIVE)
    at_margin = dict(flat(claims).means) | {gain.contrasts[0].refs[1]: 40.0 - gain.margin}
    return [*found, ("no effect (effect = margin)", gain, World(at_margin, sd=0.2))]


def false_alarm(claim: Claim, verdict: str) -> bool:
    """Wrong where no cell differs from another: any side; of a claim that nothing is gained, only `contradicted`."""
    return verdict == CONTRADICTED or (verdict == SUPPORTED and claim.direction != NOT_POSITIVE)


def truth(claim: Claim, means: Mapping[Cell, float]) -> float:
    """The effect that a claim is about in a world of these means, in its unit."""
    # Rounded, so that means which only rounding tells apart stand in no order.
    return joint_effect(claim.kind, [round(contrast.of(means), 9) for contrast in claim.contrasts])
