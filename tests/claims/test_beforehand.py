"""Before anything is trained: claims that no outcome could decide are named, those that cannot be read are refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from ablations.core.errors import UserError
from ablations.store.plans import PlannedRun, contents, write_plans
from analysis.claims.beforehand import check, undecidable
from tests import results_fixture as fixture
from tests.studies.test_any_study import SE, SMOOTHING, smoothing


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


def blocks(*cells: tuple[float, bool], **definition):
    """Plans of a study of SE blocks: two seeds of each cell, a width with or without blocks."""
    runs = [fixture.run(3, width, seed=seed) for width, _ in cells for seed in (0, 1)]
    with_se = [se for _, se in cells for _ in (0, 1)]
    runs = [
        replace(one, variant=one.variant.with_axes(se=True)) if se else one
        for one, se in zip(runs, with_se, strict=True)
    ]
    return list(contents([PlannedRun("blocks", "quick", one) for one in runs], {"blocks": {**SE, **definition}}))


def claim(says: str = "It helps.", **gain):
    return [{"id": "se", "says": says, "margin": 0.5, "gain": gain}]


WHOLE = [(width, se) for width in (0.25, 0.5) for se in (False, True)]


@pytest.mark.parametrize(
    ("gain", "said"),
    [
        (
            {"from": {"width": 2.0, "se": False}, "to": {"width": 2.0, "se": True}},
            "The claim se of blocks is about width 2.0, and no cell of the study has that: its width is 0.25, 0.5. "
            "Nothing was trained.",
        ),
        (
            {"from": {"width": 0.5, "groups": 8}, "to": {"width": 0.25, "groups": 8}},
            "The claim se of blocks is about groups 8, and no cell of the study has that: its groups is 3.",
        ),
        (
            {"from": {"width": 0.25, "se": False}, "to": {"width": 0.25, "se": True}},
            "The claim se of blocks is about 0.25x SE, and no cell of the study is that.",
        ),
    ],
)
def test_a_claim_about_what_its_study_cannot_have_is_refused(tmp_path: Path, gain, said: str) -> None:
    """Also where each value is there, and the cell is none: the grid leaves it out."""
    known = blocks(*WHOLE[:1], *WHOLE[2:], claims=claim(**gain))
    with pytest.raises(UserError, match=said.replace(".", r"\.")):
        check(known, [], tmp_path)


def test_a_part_of_a_grid_leaves_claims_untested_and_a_larger_one_may_test_them(tmp_path: Path) -> None:
    about = claim(**{"from": {"width": 0.5, "structure": "shufflenet"}, "to": {"width": 0.5, "se": True}})
    part, whole = blocks(*WHOLE[:2], claims=about), blocks(*WHOLE, claims=about)
    assert check(part, whole, tmp_path) == [] and check(whole, part, tmp_path) == []
    with pytest.raises(UserError, match=r"is about width 0\.5, and no cell of the study has that: its width is 0\.25"):
        check(part, part, tmp_path)
    assert check(plans({0.25: 2}), [], tmp_path) == [], "the paper's tables have more cells than were asked for"


def test_a_margin_of_the_study_is_that_of_claims_without_one(tmp_path: Path) -> None:
    about = claim(**{"from": {"width": 0.5}, "to": {"width": 0.5, "se": True}})
    del about[0]["margin"]
    assert check(blocks(*WHOLE, claims=about, margin=0.3), [], tmp_path) == []
    with pytest.raises(UserError, match="margin is missing"):
        check(blocks(*WHOLE, claims=about), [], tmp_path)


def test_figures_that_there_are_none_of_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a figure error_by_mac, and there is none of that name"):
        check(blocks(*WHOLE, figures=["error_by_mac"]), [], tmp_path)
