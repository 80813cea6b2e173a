"""Before anything is trained: claims that no outcome could decide are named, those that cannot be read are refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from ablations.core.errors import UserError
from ablations.store.plans import PlannedRun, contents, write_plans
from analysis.claims.beforehand import undecidable
from tests import results_fixture as fixture
from tests.studies.test_any_study import SMOOTHING, smoothing


def plans(seeds: dict[float, int], study: str = "groups", definitions=None):
    """A plan of networks with one and with eight groups, by width so many seeds."""
    runs = [fixture.run(g, width, seed=seed) for width, n in seeds.items() for g in (1, 8) for seed in range(n)]
    return list(contents([PlannedRun(study, "quick", run) for run in runs], definitions))


def test_one_seed_cannot_decide_and_two_could(tmp_path: Path) -> None:
    """Of Table 2's claims, one is about these two cells of 0.5x, one of 0.25x."""
    (said,) = undecidable(plans({0.5: 1, 0.25: 1}), tmp_path)
    assert said.startswith("None of the 2 claims of groups that these runs are about can be decided")
    assert said.endswith("Two seeds could decide them (SEEDS=2).")
    assert undecidable(plans({0.5: 2, 0.25: 2}), tmp_path) == []
    (said,) = undecidable(plans({0.5: 2, 0.25: 1}), tmp_path)
    assert said.startswith("1 of the 2 claims of groups") and "(eight-groups-help-0.25x): one seed" in said


def test_seeds_that_were_planned_before_count(tmp_path: Path) -> None:
    write_plans([PlannedRun("groups", "quick", fixture.run(1, 0.5, seed=7))], tmp_path, "before")
    assert undecidable(plans({0.5: 1}), tmp_path) == [], "the two seeds of one cell tell how far those of both spread"


def test_claims_about_no_planned_cell_say_nothing(tmp_path: Path) -> None:
    runs = [fixture.run(g, 0.5) for g in (2, 3)]
    assert undecidable(contents([PlannedRun("groups", "quick", run) for run in runs]), tmp_path) == []
    assert undecidable(contents([PlannedRun("single", "quick", run) for run in runs]), tmp_path) == []


def test_a_study_of_the_users_is_read_and_reckoned_alike(tmp_path: Path) -> None:
    smoothing(tmp_path)
    known = []
    for value in (0.0, 0.1):
        under = replace(fixture.PROTOCOL, recipe=replace(fixture.RECIPE, label_smoothing=value))
        run = fixture.run(3, 0.25, under=under)
        known.append(PlannedRun("smoothing", "quick", run, "5c0be" + "0" * 11, {"recipe.label_smoothing": value}))
    assert undecidable(contents(known, {"smoothing": SMOOTHING}), tmp_path) == []
    (said,) = undecidable(contents(known, {"smoothing": SMOOTHING}), tmp_path / "new")
    assert said.startswith("None of the 1 claim of smoothing")
    wrong = {**SMOOTHING, "claims": [{**SMOOTHING["claims"][0], "gain": {"from": {}, "to": {"deep": 3}}}]}
    with pytest.raises(
        UserError, match=r"the claims of smoothing, claim 1: gain: deep is not part of a cell; its parts"
    ):
        undecidable(contents(known, {"smoothing": wrong}), tmp_path)
