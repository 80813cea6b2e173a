"""Plans of looks, and looks.json: what the next look trains follows from what the looks before left open."""

import pytest

from ablations.core.errors import UserError
from ablations.core.files import write_json
from ablations.store.looks import Look, Looks, SeedPlan, read_looks, seed_plan, write_looks

PLAN = SeedPlan(3, 8, 2)


def look(*needed: str, plan: SeedPlan | None = PLAN, study: str = "groups") -> Look:
    return Look(study=study, scope_id="s", seeds={"a": (0, 1, 2)}, needed=needed, plan=plan)


@pytest.mark.parametrize("given", ["3..8", " 3 .. 8 ", {"first": 3, "most": 8}, {"first": 3, "most": 8, "step": 1}])
def test_a_plan_is_two_numbers_and_a_step(given):
    assert seed_plan(given) == SeedPlan(3, 8, 1) and seed_plan(given).numbers == [3, 4, 5, 6, 7, 8]


def test_the_last_look_has_the_most_seeds():
    assert PLAN.numbers == [3, 5, 7, 8] and PLAN.shares == [3 / 8, 5 / 8, 7 / 8, 1]


@pytest.mark.parametrize("given", [None, "", {}])
def test_no_plan(given):
    assert seed_plan(given) is None


@pytest.mark.parametrize(
    "given",
    [
        "3",
        "3..",
        "8..3",
        "1..8",
        "3..3",
        3,
        [3, 8],
        {"first": 3},
        {"first": 3.0, "most": 8},
        {"first": 3, "most": 8, "last": 9},
        {"first": 3, "most": 8, "step": 0},
    ],
)
def test_what_is_no_plan_is_refused_with_the_form(given):
    with pytest.raises(UserError, match=r"3\.\.8"):
        seed_plan(given)


def test_cells_of_open_claims_get_the_next_number_and_others_keep_theirs():
    def seeds(*looks: Look) -> list[int]:
        of = Looks(looks, {("groups", "s"): PLAN})
        return [of.seeds(cell) for cell in "abc"]

    assert seeds() == [3, 3, 3]
    assert seeds(look("a", "b")) == [5, 5, 3]
    assert seeds(look("a", "b"), look("a")) == [7, 5, 3]
    assert seeds(look("a"), look("a"), look("a"), look("a")) == [8, 3, 3], "after the last there is no more"
    assert seeds(look("a", plan=None), look("a", plan=SeedPlan(3, 9))) == [3, 3, 3], "no look of this plan"


def test_a_plan_is_over_when_nothing_is_open_or_the_most_seeds_are_in():
    def over(*looks: Look) -> bool:
        return Looks(looks, {("groups", "s"): PLAN}).over

    assert not over() and not over(look("a")) and not over(*3 * [look("a")])
    assert over(look()) and over(look("a"), look()) and over(*4 * [look("a")])


def test_looks_come_back_with_the_plans_of_the_folder(tmp_path):
    (tmp_path / "plans").mkdir()
    plan = {"study": "groups", "protocol_id": "s", "definition": {"seeds": PLAN._asdict()}}
    write_json(tmp_path / "plans" / "groups-s.json", plan)
    write_json(tmp_path / "plans" / "shuffle-s.json", {"study": "shuffle", "protocol_id": "s", "definition": {}})
    assert read_looks(tmp_path) == Looks((), {("groups", "s"): PLAN})
    mine, other = look("a"), look(study="shuffle", plan=None)
    write_looks(tmp_path, [mine, other])
    found = read_looks(tmp_path)
    assert found.taken == (mine, other)
    assert found.of("groups", "s") == Looks((mine,), {("groups", "s"): PLAN}) and found.of("shuffle", "s").plan is None


@pytest.mark.parametrize("text", ["", "{}", '{"looks": [{}]}', '{"looks": 3}'])
def test_a_damaged_file_is_no_empty_one(tmp_path, text):
    (tmp_path / "looks.json").write_text(text)
    with pytest.raises(UserError, match=r"looks\.json cannot be read"):
        read_looks(tmp_path)
