"""The plan: runs merged, finished ones dropped, seed 0 of every cell first; studies share what they should."""

from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from ablations.core import files
from ablations.core.config import Config, RecipeConfig
from ablations.execution.scheduling import relative_cost
from ablations.store import plans, run_folder
from ablations.sweep.plan import Planned, estimate_seconds, make_plan
from tests.make import canonical, finish, run

GROUPS = [(g, w, True) for g in (1, 2, 3, 4, 8) for w in (0.25, 0.5, 1.0)]
SHUFFLE = [(g, w, s) for g in (3, 8) for w in (0.25, 0.5, 1.0) for s in (True, False)]


def write_plans(jobs, results, command):
    plans.write_plans(
        [plans.PlannedRun(job.config.study, job.config.preset, job.run) for job in jobs], results, command
    )


def planned(cells, seeds=(0,), study="groups", preset="quick") -> list[Planned]:
    config = Config(study=study, preset=preset, recipe=RecipeConfig())
    jobs = []
    for groups, width, shuffle in cells:
        for seed in seeds:
            one = run(seed=seed, groups=groups, width=width, shuffle=shuffle)
            one = replace(one, variant=canonical(one.variant))
            jobs.append(Planned(one, config, (f"model.groups={groups}", f"seed={seed}")))
    return jobs


def ids(jobs):
    return {job.run.run_id for job in jobs}


def test_the_studies_share_exactly_the_shuffled_cells_at_3_and_8_groups():
    groups, shuffle = planned(GROUPS), planned(SHUFFLE, study="shuffle")
    shared = ids(groups) & ids(shuffle)
    assert shared == {run(groups=g, width=w).run_id for g in (3, 8) for w in (0.25, 0.5, 1.0)}
    assert len(ids(groups) | ids(shuffle)) == 21


def test_equal_runs_are_merged_and_both_studies_keep_them_in_their_plan(tmp_path):
    jobs = planned(GROUPS) + planned(SHUFFLE, study="shuffle")
    plan = make_plan(jobs, tmp_path)
    assert len(plan.planned) == len(plan.todo) == 21
    write_plans(jobs, tmp_path, "command")
    plans = {p.name.split("-")[0]: files.read_json(p) for p in (tmp_path / "plans").iterdir()}
    assert len(plans["groups"]["runs"]) == 15 and len(plans["shuffle"]["runs"]) == 12
    assert plans["groups"]["preset"] == "quick"


def test_a_plan_is_rewritten_only_when_it_changes(tmp_path):
    write_plans(planned(GROUPS), tmp_path, "first")
    (path,) = (tmp_path / "plans").iterdir()
    before = path.read_text()
    write_plans(planned(GROUPS), tmp_path, "second")
    assert path.read_text() == before
    write_plans(planned(GROUPS, seeds=(0, 1)), tmp_path, "third")
    assert '"third"' in path.read_text()


def test_finished_runs_are_dropped_and_damaged_ones_are_not(tmp_path):
    jobs = planned(GROUPS)
    finish(tmp_path, jobs[0].run)
    finish(tmp_path, jobs[1].run)
    (run_folder.path_of(tmp_path, jobs[1].run.run_id) / "result.json").write_text("{")
    plan = make_plan(jobs, tmp_path)
    assert plan.done == 1
    assert ids(plan.todo) == ids(jobs[1:])


@given(seeds=st.lists(st.integers(0, 99), min_size=1, max_size=3, unique=True), cells=st.permutations(GROUPS))
def test_the_lowest_seed_of_every_cell_comes_first_and_costly_runs_before_cheap(seeds, cells):
    todo = make_plan(planned(cells, seeds), Path("nowhere")).todo
    first = todo[: len(GROUPS)]
    assert {job.run.seed for job in first} == {min(seeds)}
    assert len({job.run.cell_id for job in first}) == len(GROUPS)
    costs = [relative_cost(job.run) for job in first]
    assert costs == sorted(costs, reverse=True)


@given(groups=st.sampled_from([1, 2, 3, 4, 8]), width=st.sampled_from([0.25, 0.5, 1.0]), seed=st.integers(0, 9))
def test_a_run_does_not_know_where_it_runs(groups, width, seed):
    """Device, workers, paths and labels live in the configuration, which a run's identity does not hold."""
    one = run(groups=groups, width=width, seed=seed)
    a = Planned(one, Config(study="groups", preset="a"), ())
    b = Planned(one, Config(study="shuffle", preset="b"), ("runtime.workers=7",))
    assert len(make_plan([a, b], Path("nowhere")).planned) == 1


def test_the_estimate_learns_from_what_finished_runs_took(tmp_path):
    jobs = planned(GROUPS)
    before = estimate_seconds(make_plan(jobs, tmp_path), 2)
    finish(tmp_path, jobs[0].run, seconds=10 * relative_cost(jobs[0].run))
    after = estimate_seconds(make_plan(jobs, tmp_path), 2)
    assert 8 < after / before < 11
    assert estimate_seconds(make_plan(jobs[:1], tmp_path), 2) == 0
