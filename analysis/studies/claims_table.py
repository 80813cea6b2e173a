"""Verdicts as a table: claim, verdict, effect with its interval beside the paper's, p, seeds, and what to know."""

import math
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import pandas as pd

from analysis.claims.parser import NOT_POSITIVE
from analysis.claims.verdict import NATS, POINTS, Verdict
from analysis.studies.assemble import Section
from analysis.studies.grids import Grid

HOW = (
    "Effects are in percentage points of top-1 error where no other unit stands behind them; “claimed” says where "
    "the claim puts it. Brackets: 95 % interval of the effect by itself. Paper: the same contrast of its numbers. "
    "Size: the effect beside the paper's, from an interval over all claims of the study at once. Differences are "
    "rounded after subtraction.",
    "Supported and contradicted: two-sided p, adjusted over the study's claims together, is at most 0.05. No effect: "
    "two one-sided tests place the effect within the margin. Inconclusive: the runs do not decide; the note says how "
    "many seeds a cell probably would. Not tested: a cell has no run.",
)


def records(sections: Iterable[Section]) -> list[dict[str, Any]]:
    """The claims of claims.json: one for each claim and protocol.

    Where the folder has several protocols, `protocol` says what differs between them.
    """
    return [
        {**asdict(verdict), **({"protocol": section.protocol} if section.protocol else {})}
        for section in sections
        for verdict in section.verdicts
    ]


def table(claims: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """claims.csv: the records of claims.json, without their cells."""
    return pd.DataFrame([{key: value for key, value in one.items() if key != "cells"} for one in claims])


def grid(section: Section) -> Grid:
    """A study's claims under one protocol."""
    columns = ["Claim", "Verdict", "Claimed", "Effect", "Paper", "Size", "p", "p (adjusted)", "Seeds", "Note"]
    rows = [
        (
            *(one.says, one.verdict, claimed(one), effect_text(one), signed(one.paper_effect, one.unit)),
            *(one.size or "–", p_text(one.p), p_text(one.p_adjusted), seeds_text(one), one.reason),
        )
        for one in section.verdicts
    ]
    methods = sorted({one.method for one in section.verdicts if one.method})
    notes = (section.scope, *section.looks, *HOW, *([f"Methods: {'; '.join(methods)}."] if methods else []))
    name = f"claims-{section.study}-{section.protocol_id}"
    title = f"Claims of the {section.study} study: {section.title}"
    return Grid(name, title, pd.DataFrame(rows, columns=columns), notes, prose=True)


def claimed(one: Verdict) -> str:
    """Where the claim puts the effect: `> 0`, or `≤ 0.5` where it is that the margin is not exceeded."""
    return f"≤ {one.margin:g}" if one.direction == NOT_POSITIVE else "> 0"


def effect_text(one: Verdict) -> str:
    """`+1.2 [+0.3, +2.1]`; a dash where untested."""
    if one.effect is None:
        return "–"
    unit = "" if one.unit == POINTS else f" {one.unit}"
    if one.low is None or one.high is None:
        return f"{signed(one.effect, one.unit)}{unit}"
    return f"{signed(one.effect, one.unit)} [{signed(one.low, one.unit)}, {signed(one.high, one.unit)}]{unit}"


def signed(value: float | None, unit: str) -> str:
    """An effect with its sign: one decimal, as the paper prints errors; tau has no more either, nats have three."""
    if value is None or math.isnan(value):
        return "–"
    text = f"{value:+.{3 if unit == NATS else 1}f}"
    return text[1:] if float(text) == 0 else text.replace("-", "−")


def p_text(p: float | None) -> str:
    """`0.021`, `<0.001`."""
    if p is None:
        return "–"
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def seeds_text(one: Verdict) -> str:
    """`3`, `2–3`: seeds done in the cells compared."""
    least, most = one.seeds_least, one.seeds_most
    return f"{least}" if least == most else f"{least}–{most}"
