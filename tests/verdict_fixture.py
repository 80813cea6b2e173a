"""Verdicts of every kind, for tests of the report and for looking at it."""

from dataclasses import replace

import pandas as pd

from analysis.claims.verdict import CONTRADICTED, INCONCLUSIVE, NO_EFFECT, NOT_TESTED, POINTS, SUPPORTED, TAU, Verdict
from analysis.report.drilldown import cell_name
from analysis.studies.assemble import Section

ONE_SEED = "One seed: run-to-run variation not covered."


def verdict(
    section: Section,
    claim: str = "groups-help-0.5x",
    says: str = "Grouped convolutions lower the error at 0.5x: g=8 against g=1",
    effects: tuple[float | None, ...] = (2.31, 1.12, 3.5, 2.8),
    **changes: object,
) -> Verdict:
    """A supported claim about two cells of a section; `effects`: here, low, high, in the paper."""
    pair = section.cells[section.cells["width"] == 0.5].iloc[[0, -1]]
    known: dict[str, object] = {
        **{"claim": claim, "says": says, "study": section.study, "source": "Table 2"},
        **dict(zip(("effect", "low", "high", "paper_effect"), effects, strict=True)),
        "protocol_id": section.protocol_id,
        "verdict": SUPPORTED,
        "unit": POINTS,
        "direction": "positive",
        "margin": 0.5,
        **{"p": 0.0004, "p_adjusted": 0.0051, "p_holm": 0.0052, "levene_p": 0.41},
        "method": "t, standard deviation pooled over the cells of one width (df 10)",
        **{"seeds_least": 3, "seeds_most": 3, "seeds_needed": None},
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
    none = {"verdict": NO_EFFECT, "p": 0.8, "p_adjusted": 1.0, "p_holm": 1.0}
    one_seed = {"seeds_least": 1, "seeds_most": 1, "reason": ONE_SEED}
    order = {"unit": TAU, "margin": 0.0}
    points = [
        verdict(groups),
        verdict(
            groups,
            "groups-help-1x",
            "Grouped convolutions lower the error at 1x: g=8 against g=1",
            (0.04, -0.31, 0.39, 1.2),
            **none,
        ),
        verdict(
            groups,
            "falls-steadily-0.25x",
            "At 0.25x the error falls steadily with the number of groups (trend over g = 1, 2, 3, 4, 8)",
            (0.9, -0.5, 2.3, 4.4),
            source="Section 4.1.1",
            seeds_needed=7,
            reason="About 7 seeds a cell would decide it if the effect is what it seems.",
            **low_power,
        ),
        verdict(
            groups,
            "stops-0.5x",
            "At 0.5x the error stops falling before g=8",
            (1.6, 0.8, 2.4, -0.7),
            direction="not_positive",
            verdict=CONTRADICTED,
        ),
        verdict(
            groups,
            "gain-grows",
            "The gain from groups is larger at 0.25x than at 1x",
            (1.1, -14.0, 16.2, 2.8),
            **{"seeds_least": 2, "seeds_most": 2, "seeds_needed": 120},
            **low_power,
        ),
        verdict(
            groups,
            "no-runs",
            "The best of g > 1 is better than g=1 at 1x",
            (None, None, None, 2.8),
            **dict.fromkeys(("p", "p_adjusted", "p_holm", "levene_p")),
            **{"verdict": NOT_TESTED, "seeds_least": 0, "method": ""},
            reason="No run is done of ShuffleNet 1x, g=4.",
            cells=(("", "ShuffleNet 1x, g=4"),),
        ),
        verdict(groups, "order-0.5x", "The order of Table 2 is kept at 0.5x", (0.8, 0.2, 1.0, 1.0), **order),
        verdict(groups, "order-1x", "The order of Table 2 is kept at 1x", (0.2, -0.6, 0.8, 1.0), **order, **low_power),
    ]
    gains = [_gain(shuffle, row) for _, row in shuffle.gains.iterrows() if pd.notna(row["gain"])]
    gains += [
        verdict(
            shuffle,
            "one-seed",
            "Shuffle lowers the error of g=4 at 0.5x",
            (1.9, 0.2, 3.6, None),
            source="Table 3",
            **one_seed,
        ),
        verdict(
            shuffle,
            "no-interval",
            "Shuffle lowers the error of g=2 at 0.5x",
            (0.7, None, None, None),
            **one_seed,
            **low_power,
        ),
    ]
    return replace(groups, verdicts=tuple(points)), replace(shuffle, verdicts=tuple(gains))


def _gain(section: Section, row: pd.Series) -> Verdict:
    """What a claim on one of Table 3's gains looks like."""
    names = ("gain", "gain_low", "gain_high", "paper_gain")
    effects = tuple(None if pd.isna(row[name]) else float(row[name]) for name in names)
    sure = effects[1] is not None and effects[1] > 0
    open_still = {"verdict": INCONCLUSIVE, "seeds_needed": 9, "p": 0.2, "p_adjusted": 0.9, "p_holm": 0.9}
    return verdict(
        section,
        f"shuffle-helps-{row['width']:g}x-g{row['groups']}",
        f"Shuffle lowers the error at {row['width']:g}x with g={row['groups']}",
        effects,
        source="Table 3",
        method="t of paired differences, standard deviation pooled over the cells of one width",
        **({"p": 0.01, "p_adjusted": 0.04, "p_holm": 0.04} if sure else open_still),
    )
