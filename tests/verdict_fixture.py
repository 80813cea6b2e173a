"""Verdicts of every kind, for tests of the report and for looking at it."""

from dataclasses import replace

import pandas as pd

from analysis.claims.verdict import CONTRADICTED, INCONCLUSIVE, NO_EFFECT, NOT_TESTED, POINTS, SUPPORTED, TAU, Verdict
from analysis.report.drilldown import cell_name
from analysis.studies.assemble import Section

ONE_SEED = "One seed: run-to-run variation not covered."


def verdict(section: Section, **changes: object) -> Verdict:
    """A supported claim about two cells of a section; `changes` make it another."""
    pair = section.cells[section.cells["width"] == 0.5].iloc[[0, -1]]
    known: dict[str, object] = {
        "claim": "groups-help-0.5x",
        "study": section.study,
        "source": "Table 2",
        "says": "Grouped convolutions lower the error at 0.5x: g=8 against g=1",
        "protocol_id": section.protocol_id,
        "verdict": SUPPORTED,
        "unit": POINTS,
        "direction": "positive",
        "effect": 2.31,
        "low": 1.12,
        "high": 3.5,
        "margin": 0.5,
        "paper_effect": 2.8,
        "p": 0.0004,
        "p_adjusted": 0.0051,
        "p_holm": 0.0052,
        "method": "t, standard deviation pooled over the cells of one width (df 10)",
        "levene_p": 0.41,
        "seeds_least": 3,
        "seeds_most": 3,
        "seeds_needed": None,
        "reason": "",
        "scope": f"{section.title}, 3 seeds a cell",
        "cells": tuple((row["cell_id"], cell_name(row)) for _, row in pair.iterrows()),
    }
    return Verdict(**{**known, **changes})  # type: ignore[arg-type]


def every_kind(groups: Section, shuffle: Section) -> tuple[Section, Section]:
    """Both sections with verdicts in place of their own.

    Supported, contradicted, no effect, inconclusive; points and tau; with and without interval; cells missing.
    """
    low_power = {"verdict": INCONCLUSIVE, "p": 0.31, "p_adjusted": 0.9, "p_holm": 1.0}
    points = [
        verdict(groups),
        verdict(
            groups,
            claim="groups-help-1x",
            says="Grouped convolutions lower the error at 1x: g=8 against g=1",
            verdict=NO_EFFECT,
            effect=0.04,
            low=-0.31,
            high=0.39,
            paper_effect=1.2,
            p=0.8,
            p_adjusted=1.0,
            p_holm=1.0,
        ),
        verdict(
            groups,
            claim="falls-steadily-0.25x",
            source="Section 4.1.1",
            effect=0.9,
            low=-0.5,
            high=2.3,
            says="At 0.25x the error falls steadily with the number of groups (trend over g = 1, 2, 3, 4, 8)",
            paper_effect=4.4,
            seeds_needed=7,
            reason="About 7 seeds a cell would decide it if the effect is what it seems.",
            **low_power,
        ),
        verdict(
            groups,
            claim="stops-0.5x",
            direction="not_positive",
            says="At 0.5x the error stops falling before g=8",
            verdict=CONTRADICTED,
            effect=1.6,
            low=0.8,
            high=2.4,
            paper_effect=-0.7,
        ),
        verdict(
            groups,
            claim="gain-grows",
            says="The gain from groups is larger at 0.25x than at 1x",
            effect=1.1,
            low=-14.0,
            high=16.2,
            seeds_least=2,
            seeds_most=2,
            seeds_needed=120,
            **low_power,
        ),
        verdict(
            groups,
            claim="no-runs",
            says="The best of g > 1 is better than g=1 at 1x",
            effect=None,
            low=None,
            high=None,
            p=None,
            p_adjusted=None,
            p_holm=None,
            levene_p=None,
            verdict=NOT_TESTED,
            seeds_least=0,
            method="",
            reason="No run is done of ShuffleNet 1x, g=4.",
            cells=(("", "ShuffleNet 1x, g=4"),),
        ),
        verdict(
            groups,
            claim="order-0.5x",
            unit=TAU,
            says="The order of Table 2 is kept at 0.5x",
            margin=0.0,
            effect=0.8,
            low=0.2,
            high=1.0,
            paper_effect=1.0,
        ),
        verdict(
            groups,
            claim="order-1x",
            unit=TAU,
            says="The order of Table 2 is kept at 1x",
            margin=0.0,
            effect=0.2,
            low=-0.6,
            high=0.8,
            paper_effect=1.0,
            **low_power,
        ),
    ]
    gains = [_gain(shuffle, row) for _, row in shuffle.gains.iterrows() if pd.notna(row["gain"])]
    gains += [
        verdict(
            shuffle,
            claim="one-seed",
            says="Shuffle lowers the error of g=4 at 0.5x",
            source="Table 3",
            effect=1.9,
            low=0.2,
            high=3.6,
            paper_effect=None,
            seeds_least=1,
            seeds_most=1,
            reason=ONE_SEED,
        ),
        verdict(
            shuffle,
            claim="no-interval",
            says="Shuffle lowers the error of g=2 at 0.5x",
            effect=0.7,
            low=None,
            high=None,
            paper_effect=None,
            seeds_least=1,
            seeds_most=1,
            reason=ONE_SEED,
            **low_power,
        ),
    ]
    return replace(groups, verdicts=tuple(points)), replace(shuffle, verdicts=tuple(gains))


def _gain(section: Section, row: pd.Series) -> Verdict:
    """What a claim on one of Table 3's gains looks like."""
    number = {key: None if pd.isna(row[key]) else float(row[key]) for key in ("gain", "gain_low", "gain_high")}
    sure = number["gain_low"] is not None and number["gain_low"] > 0
    return verdict(
        section,
        claim=f"shuffle-helps-{row['width']:g}x-g{row['groups']}",
        source="Table 3",
        says=f"Shuffle lowers the error at {row['width']:g}x with g={row['groups']}",
        verdict=SUPPORTED if sure else INCONCLUSIVE,
        effect=number["gain"],
        low=number["gain_low"],
        high=number["gain_high"],
        paper_effect=None if pd.isna(row["paper_gain"]) else float(row["paper_gain"]),
        seeds_needed=None if sure else 9,
        p=0.01 if sure else 0.2,
        p_adjusted=0.04 if sure else 0.9,
        p_holm=0.04 if sure else 0.9,
        method="t of paired differences, standard deviation pooled over the cells of one width",
    )
