"""A plan of looks: seeds are added to what is open until the most are in, stopped or doubled as the sweep may be."""

import json
import shutil
import subprocess

import pytest

from ablations.core import make_variables
from ablations.core.errors import UserError
from ablations.execution.scheduling import relative_cost
from ablations.store.looks import SeedPlan, write_looks
from ablations.store.plans import write_plans
from ablations.sweep.hydra_app import compose_studies
from ablations.sweep.plan import at_look, cheapest, planned_runs
from tests.store.test_seed_plans import look
from tests.sweeps import TINY, ablations, command, environment, finished

STUDY = ("-m", "ablation=shuffle", "model.groups=3", "seeds=2..3", "runtime.workers=2")


def seen(results):
    """Each look without its time, and the seeds that the plan of runs has."""
    looks = json.loads((results / "looks.json").read_text())["looks"]
    (plan,) = [json.loads(path.read_text()) for path in results.glob("plans/*.json")]
    return [{**one, "when": ""} for one in looks], sorted(one["seed"] for one in plan["runs"])


def test_a_sweep_looks_goes_on_and_takes_itself_up_again(tmp_path):
    results = tmp_path / "results"
    done = ablations(results, *STUDY)
    assert done.returncode == 0, done.stdout + done.stderr
    looks, seeds = seen(results)
    assert [len(next(iter(one["seeds"].values()))) for one in looks] == [2, 3], "eight test images decide nothing"
    assert seeds == [0, 0, 1, 1, 2, 2] and len(finished(results)) == 6
    assert "Look 1 of at most 2 at shuffle, with 2 seeds a cell: 0 claims decided, 1 open; 2 cells get" in done.stdout
    assert "Look 2 of at most 2" in done.stdout and "6 of 6 runs done" in done.stdout
    # Killed in the second look, and taken up by two commands at once.
    content = json.loads((results / "looks.json").read_text())
    (results / "looks.json").write_text(json.dumps({**content, "looks": content["looks"][:1]}))
    for run_id in sorted(finished(results))[:2]:
        shutil.rmtree(results / "runs" / run_id)
    both = [
        subprocess.Popen(command(results, *STUDY), cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [one.communicate(timeout=240)[0] for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    assert seen(results) == (looks, seeds) and len(finished(results)) == 6
    # Less is asked for: nothing is trained, and nothing lost.
    less = ablations(results, *STUDY[:3], "seed=0,1")
    assert less.returncode == 0 and len(finished(results)) == 6 and seen(results) == (looks, [0, 0, 1, 1])


def composed(*overrides):
    return compose_studies(["preset=smoke", "ablation=groups,shuffle", "model.width=0.25", *overrides])


def test_the_next_look_has_more_seeds_of_open_cells_in_the_study_where_they_are(tmp_path):
    jobs, definitions = composed("seeds=2..4")
    assert {job.run.seed for job in jobs} == {0, 1, 2, 3}, "whatever a look may ask for is composed"
    assert [one["seeds"] for one in definitions.values()] == 2 * [{"first": 2, "most": 4, "step": 1}]
    first = at_look(jobs, definitions, tmp_path)
    assert {job.run.seed for job in first} == {0, 1} and len(first) == 2 * (5 + 4)
    cell = next(job.run for job in jobs if job.run.variant.axes["groups"] == 8 and job.run.variant.axes["shuffle"])
    taken = look(cell.cell_id, plan=SeedPlan(2, 4)).model_copy(update={"scope_id": cell.protocol_id})
    write_looks(tmp_path, [taken])
    second = at_look(jobs, definitions, tmp_path)
    (more,) = [one for one in planned_runs(second, definitions) if one.run.seed == 2]
    assert (more.study, more.run.cell_id) == ("groups", cell.cell_id) and len(second) == len(first) + 1
    # A study without a plan of looks keeps all that it asks for.
    assert len(at_look(jobs, {**definitions, "shuffle": {"axes": ["model.groups"]}}, tmp_path)) == 5 * 2 + 1 + 4 * 4


def test_a_plan_changes_no_run(tmp_path):
    ids = {job.run.run_id for job in composed("seeds=2..4")[0]}
    assert ids == {job.run.run_id for job in composed("seed=0,1,2,3")[0]}
    assert ids == {job.run.run_id for job in composed("seeds={first: 2, most: 4, step: 2}")[0]}


@pytest.mark.parametrize("wrong", ["seeds=4..2", "seeds=4", "seeds={first: 2}"])
def test_a_wrong_plan_is_a_sentence(wrong):
    with pytest.raises(UserError, match=r"3\.\.8"):
        composed(wrong)


def test_seeds_and_a_plan_of_seeds_exclude_each_other():
    with pytest.raises(UserError, match="exclude each other"):
        composed("seeds=2..4", "seed=0,1")


@pytest.mark.parametrize(
    ("value", "fits"), [("3", True), ("3..8", True), ("0..8", False), ("3..", False), ("3.8", False)]
)
def test_make_takes_both_forms(value, fits):
    try:
        make_variables.check_numbers({"SEEDS": value})
    except SystemExit as stop:
        assert not fits and stop.code == 2
    else:
        assert fits
    with pytest.raises(SystemExit):
        make_variables.check_numbers({"WORKERS": "3..8"})


def test_a_pilot_trains_two_cells_and_leaves_plans_alone(tmp_path):
    results = tmp_path / "results"
    jobs, definitions = compose_studies(["preset=smoke", "ablation=shuffle", f"runtime.results_dir={results}"])
    results.mkdir()
    write_plans(planned_runs(jobs, definitions), results, "before", definitions)
    before = {path: path.read_bytes() for path in results.glob("plans/*")}
    done = ablations(results, "-m", "ablation=shuffle", "pilot=true", "seed=range(3)", "runtime.workers=2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 of 6 runs done" in done.stdout and "Seeds' errors spread by" in done.stdout
    assert "2 cells, 4 degrees of freedom" in done.stdout and before == {p: p.read_bytes() for p in before}
    mine = {job.run.run_id for job in compose_studies([*TINY, "ablation=shuffle", "seed=range(3)"])[0]}
    assert {*finished(results)} < mine, "runs of the study"


def test_a_pilot_takes_the_cheapest_cells():
    jobs, _ = compose_studies(["preset=smoke", "ablation=groups", "seed=0,1,2"])
    chosen = cheapest(jobs, 2)
    assert len(chosen) == 6 and {job.run.variant.axes["width"] for job in chosen} == {0.25}
    assert max(relative_cost(job.run) for job in chosen) <= min(
        relative_cost(job.run) for job in jobs if job not in chosen
    )


def test_seeds_of_a_file_that_can_decide_nothing_are_refused_and_those_of_a_user_are_not(tmp_path):
    results = tmp_path / "results"
    study = ("-m", "ablation=shuffle", "model.groups=3", "runtime.publish=true")
    done = ablations(results, *study, "trial=false")
    assert done.returncode == 2 and "error: The one claim of shuffle" in done.stderr
    assert "(shuffle-helps-0.25x-g3): one seed a cell" in done.stderr and "Two seeds could decide it" in done.stderr
    assert "Give more seeds, here (SEEDS=2" in done.stderr and "trial: true in the file" in done.stderr
    assert not list(results.glob("plans/*")) and not list(results.glob("runs/*"))
    for consent in ("seed=0", "trial=true"):  # the second has nothing left to train
        done = ablations(results, *study, "trial=false", consent)
        assert done.returncode == 0 and len(finished(results)) == 2, done.stderr
        assert ("The one claim of shuffle" in done.stdout) == (consent == "seed=0")
