"""Shuffle's gains: paired by seed, from test images where there is one pair."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import costs, frame, tables
from analysis.gains import RULE
from tests import results_fixture as fixture


@pytest.fixture(autouse=True)
def _without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "_measure", fixture.cheap_costs)


def gain(results: Path, groups: int = 3) -> pd.Series:
    (section,) = tables.sections("shuffle", frame.runs(results), results)
    assert RULE in section.notes
    return section.gains.query(f"width == 0.25 and groups == {groups}").iloc[0]


def write(results: Path, groups: int, off: list[float], on: list[float]) -> None:
    for shuffle, errors in ((False, off), (True, on)):
        for seed, error in enumerate(errors):
            fixture.write_done(results, fixture.run(groups, 0.25, shuffle, seed), error)


def test_gains_are_paired_and_pooled_by_hand(tmp_path: Path) -> None:
    write(tmp_path, 3, [0.40, 0.50], [0.38, 0.46])  # gains 2 and 4
    write(tmp_path, 8, [0.45, 0.40, 0.50], [0.40, 0.35, 0.42])  # gains 5, 5 and 8
    found = gain(tmp_path)
    # Squares about the means 2 + 6 over 1 + 2 degrees of freedom; t(0.975, 3) = 3.182446.
    half = 3.182446 * (8 / 3) ** 0.5 / 2**0.5
    assert (found["gain"], found["pairs"], found["df"], found["interval"]) == (3, 2, 3, "seeds")
    assert found["gain_low"] == pytest.approx(3 - half, abs=1e-3)
    assert gain(tmp_path, 8)["gain"] == 6


def test_only_seeds_of_both_arms_count(tmp_path: Path) -> None:
    write(tmp_path, 3, [0.40, 0.50], [0.38, 0.46, 0.10])
    found = gain(tmp_path)
    assert (found["gain"], found["pairs"]) == (3, 2)


def test_one_pair_is_judged_on_its_images(tmp_path: Path) -> None:
    right = np.arange(1000) >= 300
    better = right.copy()
    better[:40], better[990:] = True, False  # 40 won, 10 lost
    fixture.write_done(tmp_path, fixture.run(3, 0.25, False), 0.30, right)
    fixture.write_done(tmp_path, fixture.run(3, 0.25, True), 0.27, better)
    found = gain(tmp_path)
    half = 100 * 1.959964 * (40 + 10 + 1 - 900 / 1002) ** 0.5 / 1002
    assert (found["gain"], found["interval"], found["pairs"]) == (3, "examples", 1)
    assert found["gain_high"] == pytest.approx(100 * 30 / 1002 + half, abs=1e-3)


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
    assert gain(tmp_path)["pairs"] == 0 and pd.isna(gain(tmp_path)["gain"])


def test_the_papers_gain_stands_beside(tmp_path: Path) -> None:
    write(tmp_path, 3, [0.40], [0.38])
    assert gain(tmp_path)["paper_gain"] == 1.3 and gain(tmp_path, 8)["paper_gain"] == 3.8
