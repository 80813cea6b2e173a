"""How far seeds spread: the number with its interval, and where it is looked for."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ablations.store.plans import PlannedRun, contents, parse_plan
from analysis.claims import spread
from analysis.claims.budget import expected, main, sequential
from analysis.claims.spread import measured, of_runs
from tests import results_fixture as fixture


def rows(*cells: tuple[float, list[float]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"cell_id": f"c{k}", "width": width, "error": error}
            for k, (width, errors) in enumerate(cells)
            for error in errors
        ]
    )


def test_it_is_pooled_over_cells_with_the_interval_of_a_chi_square():
    found = of_runs(rows((0.25, [1.0, 3.0]), (0.25, [5.0, 5.0, 8.0]), (1.0, [4.0, 4.5]), (1.0, [7.0])), "here")
    assert found is not None
    squares = 2.0 + 6.0 + 0.125
    assert found.sd == pytest.approx((squares / 4) ** 0.5) and (found.df, found.cells) == (4, 3)
    ends = [(squares / stats.chi2.ppf(p, 4)) ** 0.5 for p in (0.975, 0.025)]
    assert [found.low, found.high] == pytest.approx(ends)
    assert found.by_width == pytest.approx({0.25: (8 / 3) ** 0.5, 1.0: 0.125**0.5})
    assert "measured in here" in found.text and "0.35 at 1x" in found.text


def test_one_seed_or_equal_ones_tell_nothing():
    assert of_runs(rows((0.25, [1.0]), (1.0, [2.0])), "here") is None
    assert of_runs(rows((0.25, [1.0, 1.0])), "here") is None


def folder(path: Path, sd: float, epochs: int = 8) -> str:
    """Three seeds of a cell; the id of their protocol."""
    runs = [fixture.run(3, 0.25, True, seed, fixture.protocol(epochs)) for seed in range(3)]
    fixture.write_plan(path, "groups", runs)
    for one in runs:
        fixture.write_done(path, one, 0.3 + sd * (one.seed - 1) / 100)
    return runs[0].protocol_id


def test_this_folder_counts_first_then_its_data_then_committed_studies(tmp_path, monkeypatch):
    reference = tmp_path / "reference"
    monkeypatch.setattr(spread, "REFERENCE", reference)
    folder(reference / "old", sd=3.0)
    (reference / "old" / "study.json").write_text("{}")
    here = tmp_path / "here"
    assert measured(here, "none", "cifar10") is None
    theirs = measured(here, "none", "glyphs")
    assert theirs and theirs.sd == pytest.approx(3.0) and "results/reference/old" in theirs.source
    long = folder(here, sd=2.0, epochs=16)
    other = measured(here, "none", "glyphs")
    assert other and other.sd == pytest.approx(2.0) and "with other training" in other.source
    short = folder(here, sd=1.0)
    assert [measured(here, one, "glyphs").sd for one in (long, short)] == pytest.approx([2.0, 1.0])


def test_without_a_spread_nothing_is_promised(tmp_path, monkeypatch):
    monkeypatch.setattr(spread, "REFERENCE", tmp_path)
    question = {
        "plans": list(contents([PlannedRun("groups", "quick", fixture.run(g, 0.25)) for g in (1, 8)])),
        "options": [{"seeds": 3, "widths": [0.25]}],
        **{"results": str(tmp_path), "protocol_id": "", "data": "glyphs", "plan": None, "sd": None},
    }
    assert main(question) == {"spread": None, "options": [None], "plan": None, "unknown": 0}
    known = main({**question, "sd": 0.2})
    assert known["options"][0]["claims"] == 1 and known["options"][0]["decided"] > 0.9
    protocol = folder(tmp_path, sd=30.0)
    rough = main({**question, "protocol_id": protocol})
    assert rough["options"][0]["decided"] < 0.5 and "30 points" in rough["spread"]


def test_a_plan_of_looks_saves_runs_where_seeds_agree_and_none_where_nothing_is_decided():
    runs = [fixture.run(groups, 0.25, shuffle) for groups in (3, 8) for shuffle in (True, False)]
    cells = expected(filter(None, map(parse_plan, contents(PlannedRun("shuffle", "quick", one) for one in runs))))
    sure, vain = (sequential(cells, [3, 5, 8], {1.0: sd}, 4) for sd in (0.1, 50.0))
    assert sure and vain and sure["fixed"] == vain["fixed"] == 32
    assert sure["runs"] < 16 and sure["decided"] == sure["decided_fixed"] == 3
    assert vain["runs"] > 28 and np.isclose(vain["decided"], 0, atol=0.5)
    widths = sequential(cells, [3, 5, 8], {0.25: 0.1, 1.0: 50.0}, 4)
    assert widths == sure, "cells have the spread of their width"
