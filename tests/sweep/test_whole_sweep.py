"""What a command line must not say: values that differ where a sweep has one, and values that nothing reads."""

import pytest

from ablations.core.errors import UserError
from ablations.sweep.hydra_app import compose
from tests.sweep.test_bad_inputs import run
from tests.sweeps import command


def refused(*overrides: str) -> str:
    with pytest.raises(UserError) as error:
        compose(["preset=smoke", *overrides])
    return str(error.value)


@pytest.mark.parametrize("override", ["seed=range(0)", "seed=range(-1)", "model.groups=glob(*)", "model.width=glob(x)"])
def test_an_empty_sweep_is_a_sentence_with_its_key(override):
    assert f"{override} stands for no value" in refused(override)


def test_names_for_numbers_are_a_sentence_with_their_key():
    assert "model.groups=a" in refused("model.groups=choice(a,b)")


@pytest.mark.parametrize(
    "override",
    [
        *("runtime.results_dir=a,b", "runtime.threads=1,2", "runtime.evaluate_every=range(3)", "logger=none,mlflow"),
        *("data.dir=a,b", "data.cache_dir=a,b", "study=a,b", "recipe.name=a,b", "logger.experiment=a,b"),
    ],
)
def test_a_sweep_over_what_is_no_part_of_a_run_is_refused_by_name(override):
    said = refused(override)
    assert override in said and f"{override.partition('=')[0]} is not part of a run's identity" in said


def test_one_value_is_no_sweep():
    assert {job.config.runtime.threads for job in compose(["preset=smoke", "runtime.threads=choice(2)"])} == {2}


@pytest.mark.parametrize("key", ["runtime.results_dir", "logger.experiment", "data.cache_dir"])
def test_what_belongs_to_the_sweep_and_follows_from_a_job_is_refused_by_name(key):
    said = refused(f"{key}=at-${{model.groups}}", "model.groups=1,2", "logger=mlflow")
    assert f"{key} would be at-1 in one run of this sweep and at-2 in another" in said


def test_the_time_is_one_for_all_jobs():
    jobs = compose(["preset=smoke", "model.groups=1,2,3", "runtime.results_dir=at-${now:%H-%M-%S-%f}"])
    assert len(jobs) == 3 and len({job.config.runtime.results_dir for job in jobs}) == 1


def test_presets_bring_their_own_seeds_and_evaluations(tmp_path):
    jobs = compose(["preset=smoke,quick", "model.groups=1,2"])
    assert [(job.config.preset, job.config.seed) for job in jobs if job.config.model["groups"] == 1] == [
        ("smoke", 0),
        ("quick", 0),
        ("quick", 1),
    ]


def test_a_preset_narrows_the_grid_of_studies_but_not_the_command_line():
    both = ["ablation=groups,shuffle", "preset=cifar10-short", "runtime.device=cpu"]
    runs = {job.run.run_id: job.run for job in compose(both)}.values()
    assert len(runs) == 21 and {run.variant.axes["width"] for run in runs} == {0.25}
    assert {job.run.variant.axes["width"] for job in compose([*both, "model.width=0.5,1.0", "seed=0"])} == {0.5, 1.0}
    # A study without this axis is left as it is.
    (single,) = compose(["preset=cifar10-short", "runtime.device=cpu", "seed=0"])
    assert single.run.variant.axes["width"] == 1.0


@pytest.mark.parametrize(
    "override, why",
    [
        ("recipe.pad=3", "recipe.crop=pad would"),
        ("recipe.pad=3,4", "recipe.crop=pad would"),
        ("recipe.area=[0.5,1]", "recipe.crop=resized would"),
        ("recipe.name=mine", "a label"),
        ("logger.tracking_uri=http://x", "logger=mlflow would"),
        ("logger.experiment=mine", "logger=mlflow would"),
    ],
)
def test_an_override_without_effect_is_refused(override, why):
    said = refused(override)
    assert f"{override.partition('=')[0]} has no effect" in said and why in said


def test_weights_that_do_not_decay_and_workers_that_are_counted():
    assert "recipe.decay has no effect" in refused("recipe.decay=all", "recipe.weight_decay=0")
    assert "runtime.runs_per_gpu has no effect" in refused("runtime.runs_per_gpu=2", "runtime.workers=1")


def test_what_has_an_effect_in_one_job_is_not_refused():
    assert len(compose(["preset=smoke", "recipe.crop=none,pad", "recipe.pad=2"])) == 2


def test_a_folder_that_nothing_reads_is_refused_with_the_presets_that_would(tmp_path):
    said = refused(f"data.dir={tmp_path}")
    assert "data=glyphs (preset=smoke) reads no folder" in said
    assert "preset=cifar10, preset=cifar10-short, preset=imagenet, preset=tiny" in said and "preset=quick" not in said


@pytest.mark.parametrize(
    "override", ["runtime.workers=2", "runtime.retries=2", "ablation=groups", "hydra/launcher=slurm"]
)
def test_a_single_run_refuses_what_only_sweeps_read(tmp_path, capsys, monkeypatch, override):
    said = run(monkeypatch, capsys, command(tmp_path / "results", override)[2:])
    assert f"{override.partition('=')[0]} has no effect here" in said and "-m" in said
    assert not (tmp_path / "results").exists()
