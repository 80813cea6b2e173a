"""Verdicts as lines of the page: a word and a sign, the claim, a forest plot, the effect; the rest folds out."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from types import SimpleNamespace

from markupsafe import Markup

from analysis.claims.parser import NOT_POSITIVE
from analysis.claims.verdict import (
    AS_LARGE,
    CONTRADICTED,
    ERROR,
    INCONCLUSIVE,
    METRICS,
    NATS,
    NO_EFFECT,
    NOT_TESTED,
    NOT_TOLD_APART,
    OPPOSITE,
    POINTS,
    SEEDS_ALONE,
    SUPPORTED,
    TAU,
    TOP5_POINTS,
    Verdict,
)
from analysis.report.forest import Scale, row, scale
from analysis.studies.claims_table import claimed, p_text, seeds_text, signed

SIGNS = {SUPPORTED: "✓", CONTRADICTED: "✗", NO_EFFECT: "≈", INCONCLUSIVE: "?", NOT_TESTED: "–"}
UNITS = {
    POINTS: "percentage points of top-1 error",
    TOP5_POINTS: "percentage points of top-5 error",
    NATS: "nats of loss",
    TAU: "Kendall’s τ",
}


def groups(verdicts: Sequence[Verdict], anchors: Mapping[str, str], titles: Mapping[str, str]) -> list[SimpleNamespace]:
    """Verdicts by study and unit, which share a scale, for the template; else in the order they come in.

    Args:
        anchors: places of cells by cell_id.
        titles: of the studies, in the order in which these come.
    """
    studies, found = list(titles), []
    ordered = sorted(verdicts, key=lambda one: (studies.index(one.study), one.unit != POINTS, one.unit))
    for (study, unit), same in groupby(ordered, key=lambda one: (one.study, one.unit)):
        together = list(same)
        on = scale(together)
        title = titles[study] + (": order of the cells" if unit == TAU else "")
        lines = [_line(verdict, on, anchors) for verdict in together]
        found.append(SimpleNamespace(title=title, unit=UNITS.get(unit, unit), scale=on, lines=lines))
    return found


def _line(verdict: Verdict, on: Scale, anchors: Mapping[str, str]) -> SimpleNamespace:
    """One verdict: class of CSS, remark below the claim, marks of the forest plot, their words, facts to fold out."""
    known = verdict.verdict in SIGNS
    return SimpleNamespace(
        verdict=verdict,
        css=verdict.verdict.replace(" ", "-") if known else "inconclusive",
        sign=SIGNS.get(verdict.verdict, ""),
        remark=" ".join(filter(None, [_beside(verdict), verdict.reason])),
        row=row(verdict, on),
        text=_words(verdict),
        value=_value(verdict),
        facts=_facts(verdict, anchors),
    )


def _beside(verdict: Verdict) -> str:
    """Of a claim that is left open: that its effect is surely another than the paper's, which is a finding."""
    if verdict.verdict != INCONCLUSIVE or verdict.size in ("", NOT_TOLD_APART):
        return ""
    words = {AS_LARGE: "As large as in the paper.", OPPOSITE: "Surely of the other sign than in the paper."}
    return words.get(verdict.size, f"Surely {verdict.size} than in the paper.")


def _words(verdict: Verdict) -> str:
    """The forest plot in words."""
    if verdict.effect is None:
        return "no effect to show: runs are missing"
    unit = UNITS.get(verdict.unit, verdict.unit)
    interval = "no interval" if verdict.low is None else f"95 % interval {_interval(verdict, ' to ')}"
    theirs = "" if verdict.paper_effect is None else f"; the paper’s effect {_signed(verdict, verdict.paper_effect)}"
    at_once = f" ({over} over all claims)" if (over := _at_once(verdict)) else ""
    return f"effect {_signed(verdict, verdict.effect)} {unit}, {interval}{at_once}{theirs}; margin {verdict.margin:g}"


def _value(verdict: Verdict) -> Markup:
    claimed_so = f"claimed {claimed(verdict)}, " if verdict.direction == NOT_POSITIVE else ""
    below = Markup("<small>{}paper {}</small>").format(claimed_so, _signed(verdict, verdict.paper_effect))
    if verdict.effect is None:
        return Markup("{}{}").format("not known", below)
    interval = "" if verdict.low is None else f" [{_interval(verdict, ', ')}]"
    return Markup("<b>{}</b>{}{}").format(_signed(verdict, verdict.effect), interval, below)


def _signed(verdict: Verdict, value: float | None) -> str:
    return signed(value, verdict.unit)


def _interval(verdict: Verdict, between: str) -> str:
    return between.join(_signed(verdict, end) for end in (verdict.low, verdict.high))


def _facts(verdict: Verdict, anchors: Mapping[str, str]) -> list[tuple[str, str]]:
    """Everything else that a verdict carries, in pairs of a word and a text."""
    levene = "" if verdict.levene_p is None else f"{p_text(verdict.levene_p)} that spreads are alike"
    facts = [
        ("Claim", f"{verdict.claim}, from {verdict.source}"),
        ("Direction", _direction(verdict)),
        ("Metric", "" if verdict.metric == ERROR else METRICS[verdict.metric][0]),
        ("Over", "" if verdict.over == SEEDS_ALONE else verdict.over),
        ("p of no effect", _p(verdict)),
        ("Size beside the paper’s", verdict.size),
        ("Over all claims", _at_once(verdict)),
        ("Method", verdict.method),
        ("Levene p", levene),
        ("Seeds a cell", seeds_text(verdict)),
        ("Scope", verdict.scope),
        ("Cells", Markup(", ").join(_cell(cell_id, name, anchors) for cell_id, name in verdict.cells)),
    ]
    return [(name, text) for name, text in facts if text]


def _p(verdict: Verdict) -> str:
    adjusted = f"adjusted over the study’s claims {p_text(verdict.p_adjusted)}"
    return f"{p_text(verdict.p)}; {adjusted} (by Holm’s rule {p_text(verdict.p_holm)})"


def _at_once(verdict: Verdict) -> str:
    ends = (verdict.low_simultaneous, verdict.high_simultaneous)
    return "" if None in ends else f"interval {' to '.join(_signed(verdict, end) for end in ends)}"


def _direction(verdict: Verdict) -> str:
    margin = f"{verdict.margin:g} {'' if verdict.unit == TAU else verdict.unit}".strip()
    if verdict.direction == NOT_POSITIVE:
        return f"the claim is that the effect does not exceed the margin of {margin}"
    return f"above 0 is what the claim says; up to {margin} either way counts as none"


def _cell(cell_id: str, name: str, anchors: Mapping[str, str]) -> Markup:
    """A cell's name, as a link to its runs where it has any."""
    anchor = anchors.get(cell_id, "")
    return Markup('<a href="#{}">{}</a>').format(anchor, name) if anchor else Markup("{} (no run)").format(name)
