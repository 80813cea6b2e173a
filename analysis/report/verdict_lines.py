"""Verdicts as lines of the page: a word and a sign, the claim, a forest plot, the effect; the rest folds out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup

from analysis.report.forest import Row, Scale, row, scale
from analysis.verdicts import CONTRADICTED, INCONCLUSIVE, NO_EFFECT, POINTS, SUPPORTED, TAU, Verdict

SIGNS = {SUPPORTED: "✓", CONTRADICTED: "✗", NO_EFFECT: "≈", INCONCLUSIVE: "?"}
STUDIES = {"groups": "Number of groups", "shuffle": "Channel shuffle"}
UNITS = {POINTS: "percentage points of top-1 error", TAU: "Kendall’s τ"}
NONE = "–"


@dataclass(frozen=True)
class Line:
    """One verdict: `css` class, `remark` below the claim, marks and their words, `value`, and facts that fold out."""

    verdict: Verdict
    css: str
    sign: str
    remark: str
    row: Row
    text: str
    value: Markup
    facts: list[tuple[str, str]]


@dataclass(frozen=True)
class Group:
    """Verdicts that share a scale."""

    title: str
    unit: str
    scale: Scale
    lines: list[Line]


def groups(verdicts: Sequence[Verdict], anchors: Mapping[str, str]) -> list[Group]:
    """Verdicts by study and unit, otherwise in the order they come in; `anchors` are places of cells by cell_id."""
    found = []
    for (study, unit), same in groupby(sorted(verdicts, key=_order), key=lambda one: (one.study, one.unit)):
        together = list(same)
        on = scale(together)
        title = STUDIES.get(study, study) + (": order of the cells" if unit == TAU else "")
        found.append(Group(title, UNITS.get(unit, unit), on, [_line(verdict, on, anchors) for verdict in together]))
    return found


def _order(verdict: Verdict) -> tuple[bool, str, bool, str]:
    return (verdict.study not in STUDIES, verdict.study, verdict.unit != POINTS, verdict.unit)


def _line(verdict: Verdict, on: Scale, anchors: Mapping[str, str]) -> Line:
    known = verdict.verdict in SIGNS
    return Line(
        verdict=verdict,
        css=verdict.verdict.replace(" ", "-") if known else "inconclusive",
        sign=SIGNS.get(verdict.verdict, ""),
        remark=_remark(verdict),
        row=row(verdict, on),
        text=_words(verdict),
        value=_value(verdict),
        facts=_facts(verdict, anchors),
    )


def _remark(verdict: Verdict) -> str:
    """What a reader needs before believing the word: what is missing, how many seeds would tell."""
    parts = [verdict.reason] if verdict.reason else []
    if verdict.seeds_needed is not None:
        parts.append(f"About {verdict.seeds_needed} seeds a cell would probably decide it.")
    return " ".join(parts)


def _words(verdict: Verdict) -> str:
    """The forest plot in words."""
    if verdict.effect is None:
        return "no effect to show: runs are missing"
    unit = UNITS.get(verdict.unit, verdict.unit)
    interval = f", 95 % interval {_interval(verdict)}" if verdict.low is not None else ", no interval"
    theirs = "" if verdict.paper_effect is None else f"; the paper’s effect {printed(verdict.paper_effect)}"
    return f"effect {number(verdict.effect)} {unit}{interval}{theirs}; margin {verdict.margin:g}"


def _value(verdict: Verdict) -> Markup:
    theirs = NONE if verdict.paper_effect is None else printed(verdict.paper_effect)
    below = Markup("<small>paper {}</small>").format(theirs)
    if verdict.effect is None:
        return Markup("{}{}").format("not known", below)
    interval = f" [{_interval(verdict, ', ')}]" if verdict.low is not None else ""
    return Markup("<b>{}</b>{}{}").format(number(verdict.effect), interval, below)


def _facts(verdict: Verdict, anchors: Mapping[str, str]) -> list[tuple[str, str]]:
    """Everything else that a verdict carries, in pairs of a word and a text."""
    seeds = f"{verdict.seeds_least}"
    if verdict.seeds_most != verdict.seeds_least:
        seeds += f" to {verdict.seeds_most}"
    facts = [
        ("Claim", f"{verdict.claim}, from {verdict.source}"),
        ("Direction", _direction(verdict)),
        ("p of no effect", f"{probability(verdict.p)}; adjusted over the study {probability(verdict.p_holm)}"),
        ("Method", verdict.method),
        ("Levene p", "" if verdict.levene_p is None else f"{probability(verdict.levene_p)} that spreads are alike"),
        ("Seeds a cell", seeds),
        ("Scope", verdict.scope),
        ("Cells", Markup(", ").join(_cell(cell_id, name, anchors) for cell_id, name in verdict.cells)),
    ]
    return [(name, text) for name, text in facts if text]


def _direction(verdict: Verdict) -> str:
    margin = f"{verdict.margin:g} {'points' if verdict.unit == POINTS else ''}".strip()
    if verdict.direction == "not_positive":
        return f"the claim is that the effect does not exceed the margin of {margin}"
    return f"above 0 is what the claim says; up to {margin} either way counts as none"


def _cell(cell_id: str, name: str, anchors: Mapping[str, str]) -> Markup:
    """A cell's name, as a link to its runs where it has any."""
    anchor = anchors.get(cell_id, "")
    return Markup('<a href="#{}">{}</a>').format(anchor, name) if anchor else Markup("{} (no run)").format(name)


def number(value: float) -> str:
    """A signed effect with two decimals, minus as such."""
    return f"{value:+.2f}".replace("-", "−")


def printed(value: float) -> str:
    """A signed effect of the paper's, with no more decimals than it has: its errors have one."""
    return number(value).removesuffix("0")


def _interval(verdict: Verdict, between: str = " to ") -> str:
    ends = (verdict.low, verdict.high)
    return between.join(NONE if end is None else f"{end:.2f}".replace("-", "−") for end in ends)


def probability(p: float | None) -> str:
    """A p value as reports print it."""
    if p is None:
        return NONE
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
