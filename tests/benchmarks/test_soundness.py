"""The check of the default preset: each criterion fails where the runs say so, and only there."""

import pytest

from benchmarks import soundness
from tests import results_fixture as fixture


def written(results, error=lambda one: 0.1 + 0.001 * one.seed, seeds=3):
    for one in {each.run_id: each for s in ("groups", "shuffle") for each in fixture.grid(s, range(seeds))}.values():
        folder = fixture.write_done(results, one, error(one)).parent
        lines = [f"{epoch},,,{2 / epoch},,,,,," for epoch in range(1, 6)]
        (folder / "metrics.csv").write_text("\n".join([fixture.METRICS, *lines]) + "\n")
    return results


def failing(results):
    return [check.criterion for check in soundness.checks(results)[1] if not check.holds]


def test_a_sound_study_holds_in_every_criterion(tmp_path):
    cells, found = soundness.checks(written(tmp_path))
    assert len(cells) == 21 and len(found) == 6 and failing(tmp_path) == []


def test_one_loss_that_rises_is_found(tmp_path):
    written(tmp_path)
    path = sorted(tmp_path.glob("runs/*/metrics.csv"))[5]
    path.write_text(path.read_text().replace("4,,,0.5,", "4,,,0.7,"))
    (found,) = [check for check in soundness.checks(tmp_path)[1] if not check.holds]
    assert "loss falls" in found.criterion and found.found == "rises in 1 of 63 runs"


def test_a_width_that_spreads_is_named(tmp_path):
    wide = lambda one: 0.1 + 0.011 * one.seed * (one.variant.axes["width"] == 0.5)  # noqa: E731
    assert failing(written(tmp_path, wide)) == ["spread between seeds at 0.5x at most 1 point"]


@pytest.mark.parametrize("error", [0.02, 0.45])
def test_errors_out_of_range_are_found(tmp_path, error):
    odd = lambda one: error if (one.variant.axes["groups"], one.variant.axes["width"]) == (8, 1.0) else 0.1  # noqa: E731
    assert failing(written(tmp_path, odd)) == ["error of every cell 3 to 40 %"]


def test_missing_seeds_are_found(tmp_path):
    assert failing(written(tmp_path, seeds=2)) == ["21 cells with 3 seeds"]


def test_a_loss_that_is_no_number_does_not_fall():
    assert soundness.falls([3.0, 2.0, 1.0]) and not soundness.falls([3.0, float("nan"), 1.0])
    assert not soundness.falls([2.0, 2.0])
