"""Shuffle's gains: the contrast of both arms, from test images where there is one run of each."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.runs import frame
from analysis.stats.estimate import PAIRED
from analysis.studies import assemble, grids
from analysis.studies.gains import RULE
from tests import results_fixture as fixture

pytestmark = pytest.mark.usefixtures("made_up_costs")


def gain(results: Path, groups: int = 3) -> pd.Series:
    (section,) = assemble.sections("shuffle", frame.runs(results), results)
    assert RULE in section.notes
    return section.gains.query(f"width == 0.25 and groups == {groups}").iloc[0]


def write(results: Path, groups: int, off: list[float], on: list[float]) -> None:
    for shuffle, errors in ((False, off), (True, on)):
        for seed, error in enumerate(errors):
            fixture.write_done(results, fixture.run(groups, 0.25, shuffle, seed), error)


def test_gains_are_pooled_over_the_width_by_hand(tmp_path: Path) -> None:
    write(tmp_path, 3, [0.40, 0.50], [0.38, 0.46])  # squares about the means: 50 and 32
    write(tmp_path, 8, [0.45, 0.40, 0.50], [0.40, 0.35, 0.42])  # 50 and 26
    found = gain(tmp_path)
    # 158 over 1 + 1 + 2 + 2 degrees of freedom; t(0.975, 6) = 2.446912; two runs an arm.
    half = 2.446912 * (158 / 6) ** 0.5
    assert (found["gain"], found["seeds_off"], found["seeds_on"], found["df"]) == (3, 2, 2, 6)
    assert found["gain_low"] == pytest.approx(3 - half, abs=1e-3) and found["interval"] == "seeds"
    assert gain(tmp_path, 8)["gain"] == 6


def test_the_claim_about_a_gain_has_its_numbers(tmp_path: Path) -> None:
    fixture.plausible(tmp_path)
    (section,) = assemble.sections("shuffle", frame.runs(tmp_path), tmp_path)
    found = gain(tmp_path, 8)
    (verdict,) = (one for one in section.verdicts if one.claim == "shuffle-helps-0.25x-g8")
    assert (verdict.effect, verdict.low, verdict.high) == pytest.approx(
        (found["gain"], found["gain_low"], found["gain_high"]), abs=1e-4
    )


def test_all_seeds_of_an_arm_count(tmp_path: Path) -> None:
    write(tmp_path, 3, [0.40, 0.50], [0.38, 0.46, 0.42])
    found = gain(tmp_path)
    assert (found["gain"], found["seeds_off"], found["seeds_on"]) == (3, 2, 3)
    (section,) = assemble.sections("shuffle", frame.runs(tmp_path), tmp_path)
    assert "2 and 3 seeds" in grids.pivot(section).frame.to_string()


def test_many_seeds_are_paired_by_rule(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(-50, 50, (2, 30)) / 1000
    write(tmp_path, 3, list(0.4 + noise[0]), list(0.38 + noise[1]))
    found = gain(tmp_path)
    assert found["method"] == PAIRED and found["df"] == 29
    (section,) = assemble.sections("shuffle", frame.runs(tmp_path), tmp_path)
    assert "30 pairs" in grids.pivot(section).frame.to_string()


def test_one_pair_is_judged_on_its_images(tmp_path: Path) -> None:
    right = np.arange(1000) >= 300
    better = right.copy()
    better[:40], better[990:] = True, False  # 40 won, 10 lost
    fixture.write_done(tmp_path, fixture.run(3, 0.25, False), 0.30, right)
    fixture.write_done(tmp_path, fixture.run(3, 0.25, True), 0.27, better)
    found = gain(tmp_path)
    half = 100 * 1.959964 * (40 + 10 + 1 - 900 / 1002) ** 0.5 / 1002
    assert (found["gain"], found["interval"], found["seeds_on"]) == (3, "examples", 1)
    assert found["gain_high"] == pytest.approx(3 + half, abs=1e-3)


@pytest.mark.parametrize("damage", ["missing", "short", "text"])
def test_bits_that_cannot_be_read_leave_no_interval(tmp_path: Path, damage: str) -> None:
    write(tmp_path, 3, [0.40], [0.38])
    path = tmp_path / "runs" / fixture.run(3, 0.25).run_id / "correct.npy"
    if damage == "missing":
        path.unlink()
    elif damage == "short":
        np.save(path, np.packbits(np.ones(16, bool)))
    else:
        path.write_text("")
    found = gain(tmp_path)
    assert found["gain"] == 2 and found["interval"] == "" and pd.isna(found["gain_low"])


def test_a_missing_arm_leaves_no_gain(tmp_path: Path) -> None:
    write(tmp_path, 3, [0.40], [])
    assert gain(tmp_path)["seeds_on"] == 0 and pd.isna(gain(tmp_path)["gain"])


def test_the_papers_gain_stands_beside(tmp_path: Path) -> None:
    write(tmp_path, 3, [0.40], [0.38])
    assert gain(tmp_path)["paper_gain"] == 1.3 and gain(tmp_path, 8)["paper_gain"] == 3.8
