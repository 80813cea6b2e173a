"""A sweep with nothing to do starts fast: what is done once or not at all, and that this changes nothing."""

import sys

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from ablations import data
from ablations.core.errors import UserError
from ablations.core.run_spec import DataSpec
from ablations.store import run_folder
from ablations.sweep import plan
from ablations.sweep.compose import Composer
from ablations.sweep.hydra_app import compose, register
from ablations.sweep.resolve import to_config, to_run, typed
from benchmarks import start
from tests.make import finish
from tests.sweep.test_plan import GROUPS, ids, planned
from tests.sweeps import ROOT, execute


@pytest.fixture
def composer():
    register()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        yield Composer(loader, loader.load_configuration("config", ["preset=smoke"], RunMode.MULTIRUN))


@pytest.fixture
def put_together(composer, monkeypatch):
    """The overrides of each job whose configuration was put together in full."""
    jobs, whole = [], composer._with_values
    monkeypatch.setattr(composer, "_with_values", lambda overrides: jobs.append(overrides) or whole(overrides))
    return jobs


def as_hydra_does(composer, overrides):
    return to_config(typed(composer.loader.load_sweep_config(composer.master, list(overrides))))


def test_jobs_that_differ_in_their_seed_alone_are_composed_once_and_are_what_hydra_makes_of_them(
    composer, put_together
):
    jobs = [(f"model.groups={g}", f"seed={s}", "recipe=cifar") for g in (1, 3) for s in range(5)]
    made = [composer.compose(job) for job in jobs]
    assert len(put_together) == 2 and len(ids(made)) == 10
    for job, one in zip(jobs, made, strict=True):
        expected = as_hydra_does(composer, job)
        assert one.config == expected and one.run.run_id == to_run(expected).run_id and one.overrides == job


def test_a_value_that_follows_from_the_seed_follows_from_each_jobs_own(composer, put_together):
    made = [composer.compose(("recipe.epochs=${seed}", f"seed={s}")) for s in (3, 4)]
    assert [one.run.protocol.recipe.epochs for one in made] == [3, 4] and len(put_together) == 2


def test_a_folder_of_images_is_read_once_a_command_and_anew_by_the_next(monkeypatch):
    read = []
    for classes in (10, 20):
        spec = DataSpec("imagefolder", "0123456789abcdef", 64, 3, classes, 1000, 0, 100, "test")
        monkeypatch.setattr(data, "resolve", lambda config, *_, spec=spec: read.append(config) or spec)
        jobs = compose(["ablation=shuffle", "preset=tiny", "seed=0"])
        assert {job.run.protocol.data.classes for job in jobs} == {classes}
    assert len(read) == 2


@pytest.mark.parametrize(("seed", "complaint"), [("-1", "out of range"), ("1.5", "Integer"), ("true", "Integer|seed")])
def test_a_seed_that_is_none_is_refused_after_one_that_is(composer, seed, complaint):
    composer.compose(("model.groups=3", "seed=1"))
    with pytest.raises(UserError, match=complaint):
        composer.compose(("model.groups=3", f"seed={seed}"))


def test_results_are_read_once_for_a_plan_and_its_estimate_and_not_again_when_all_are_done(tmp_path, monkeypatch):
    jobs = planned(GROUPS)
    for job in jobs:
        finish(tmp_path, job.run)
    read, result = [], run_folder.result
    monkeypatch.setattr(run_folder, "result", lambda results, run_id: read.append(run_id) or result(results, run_id))
    whole = plan.make_plan(jobs, tmp_path)
    assert plan.estimate_seconds(whole, 2) == 0 and plan.unfinished(whole, tmp_path) == []
    assert sorted(read) == sorted(ids(jobs))

    (run_folder.path_of(tmp_path, jobs[0].run.run_id) / "result.json").unlink()
    read.clear()
    rest = plan.make_plan(jobs, tmp_path)
    assert plan.estimate_seconds(rest, 2) > 0 and sorted(read) == sorted(ids(jobs))
    assert ids(plan.unfinished(rest, tmp_path)) == {jobs[0].run.run_id}


def test_a_sweep_with_nothing_to_do_imports_nothing_heavy(tmp_path):
    for run in start.cells("quick")[:2]:
        start.finish(tmp_path, run)
    arguments = ["-m", "ablation=groups", "model.groups=1,2", "model.width=0.25", "seed=0", "runtime.publish=false"]
    code = (
        "import sys; from ablations.__main__ import main\n"
        f"sys.argv = ['ablations', *{arguments!r}, {f'runtime.results_dir={tmp_path}'!r}]\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        "heavy = {'torch', 'torchvision', 'pandas', 'matplotlib', 'scipy', 'mlflow', 'tensorboard'}\n"
        "sys.exit(f'imported {heavy & set(sys.modules)}' if heavy & set(sys.modules) else 0)"
    )
    done = execute([sys.executable, "-c", code])
    assert done.returncode == 0 and "2 done, 0 to train" in done.stdout, done.stdout + done.stderr
