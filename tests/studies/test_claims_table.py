"""Verdicts as files: claims.json, and a table that reads as the verdicts are."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ablations.core.errors import UserError
from analysis import publish
from analysis.runs import frame
from analysis.studies import assemble, claims_table, render
from tests import results_fixture as fixture

NAMED = ("claim", "scope", "effect", "low", "high", "p", "p_holm", "verdict", "seeds_needed")


pytestmark = pytest.mark.usefixtures("made_up_costs")


@pytest.fixture(autouse=True)
def _without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "_draw", fixture.undrawn)


def plan(results: Path, seeds: int = 3) -> None:
    fixture.write_plan(results, "shuffle", fixture.grid("shuffle", range(seeds), widths=[0.25]))


def test_claims_json(tmp_path: Path) -> None:
    fixture.plausible(tmp_path)
    publish.publish(tmp_path)
    claims = json.loads((tmp_path / "claims.json").read_text())["claims"]
    assert len(claims) == 22 and all(set(NAMED) <= claim.keys() for claim in claims)
    text = (tmp_path / "claims.json").read_text()
    assert "NaN" not in text
    table = pd.read_csv(tmp_path / "tables" / "claims.csv")
    assert list(table["verdict"]) == [claim["verdict"] for claim in claims] and "cells" not in table
    assert claims[0]["scope"].startswith("glyphs: 10 classes, 2,000 grey training images at 24×24, 8 epochs")
    before = text
    publish.publish(tmp_path, force=True)
    assert (tmp_path / "claims.json").read_text() == before


def test_the_table_says_what_the_verdicts_say(tmp_path: Path) -> None:
    source = np.random.default_rng(0)
    plan(tmp_path)
    for groups, shuffle, error in ((3, False, 0.40), (3, True, 0.36), (8, True, 0.38)):
        for seed in range(3):
            run = fixture.run(groups, 0.25, shuffle, seed)
            fixture.write_done(tmp_path, run, round(error + source.normal(0, 0.002), 3))
    (section,) = assemble.sections("shuffle", frame.runs(tmp_path), tmp_path)
    text = render.markdown("Claims", [claims_table.grid(section)])
    line = next(line for line in text.splitlines() if "At 0.25x with 3 groups, shuffle lowers the error." in line)
    assert "| supported | &gt; 0 | +4.0 [+3.8, +4.3] | +1.3 | larger | &lt;0.001 | &lt;0.001 | 3 |" in line
    line = next(line for line in text.splitlines() if "At 0.25x with 8 groups" in line)
    assert "| not tested | &gt; 0 | – | +3.8 | – | – | – | 0–3 |" in line
    assert "No run is done of 0.25x g=8 no shuffle." in line
    line = next(line for line in text.splitlines() if "At 1x with 3 groups" in line)
    assert "Not planned: 1x g=3 no shuffle, 1x g=3." in line
    assert section.scope in text and "Methods: t, standard deviation pooled over the width." in text


def test_protocols_are_judged_apart(tmp_path: Path) -> None:
    fixture.plausible(tmp_path, under=fixture.protocol(epochs=8))
    fixture.plausible(tmp_path, under=fixture.protocol(epochs=20), gap=-1.0)
    first, second = assemble.sections("shuffle", frame.runs(tmp_path), tmp_path)
    verdicts = [{one.claim: one.verdict for one in section.verdicts} for section in (first, second)]
    assert {first.protocol_id, second.protocol_id} == {one.protocol_id for s in (first, second) for one in s.verdicts}
    assert sorted(one["shuffle-helps-0.25x-g8"] for one in verdicts) == ["contradicted", "supported"]


def test_a_malformed_claim_stops_publishing_with_its_line(tmp_path: Path) -> None:
    fixture.plausible(tmp_path, seeds=1)
    path = tmp_path / "claims.yaml"
    path.write_text("- id: x\n  studdy: groups\n")
    with pytest.raises(UserError, match=r"claims\.yaml, line 2: studdy is no key of a claim; did you mean study\?"):
        publish.publish(tmp_path, claims=path)


def test_texts() -> None:
    assert [claims_table.signed(value, "points") for value in (1.25, -0.04, 0.04, -3.0, None)] == [
        "+1.2",
        "0.0",
        "0.0",
        "−3.0",
        "–",
    ]
    assert [claims_table.p_text(p) for p in (None, 0.0004, 0.0213, 1.0)] == ["–", "<0.001", "0.021", "1.000"]
