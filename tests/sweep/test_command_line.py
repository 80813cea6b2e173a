"""The Hydra command line end to end: sweeps, what a second one trains, failures that stay local, bad input."""

import json
import shutil
import subprocess
import sys

import pytest

from ablations.core.paths import ROOT
from ablations.store import run_folder
from tests.sweeps import ablations, command, environment, execute, finished


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """The groups study, swept once."""
    results = tmp_path_factory.mktemp("swept") / "results"
    done = ablations(results, "-m", "ablation=groups")
    assert done.returncode == 0, done.stdout + done.stderr
    return results, done.stdout


def test_a_study_trains_every_cell_once(swept):
    results, said = swept
    assert "Plan: 5 runs of 5 cells, 0 done, 5 to train" in said
    assert "5 of 5 runs done" in said
    assert len(finished(results)) == 5
    for run_id in finished(results):
        names = {path.name for path in run_folder.path_of(results, run_id).iterdir()}
        expected = {
            "run.json",
            "provenance.json",
            "metrics.csv",
            "correct.npy",
            "checkpoint.pt",
            "log.txt",
            "result.json",
        }
        assert names == expected
        record = json.loads((run_folder.path_of(results, run_id) / "provenance.json").read_text())
        assert "-m ablation=groups" in record["command"] or "ablation=groups" in record["command"]


def test_the_same_again_trains_nothing(swept):
    results, _ = swept
    before = {path: path.stat().st_mtime_ns for path in results.glob("runs/*/*")}
    again = ablations(results, "-m", "ablation=groups")
    assert again.returncode == 0 and "5 done, 0 to train" in again.stdout
    assert before == {path: path.stat().st_mtime_ns for path in results.glob("runs/*/*")}


def test_the_other_study_trains_only_what_is_new(swept):
    results, _ = swept
    first = set(finished(results))
    other = ablations(results, "-m", "ablation=shuffle")
    assert other.returncode == 0 and "4 runs of 4 cells, 2 done, 2 to train" in other.stdout
    assert len(set(finished(results)) - first) == 2


def test_both_studies_in_one_command_and_a_grid_of_ones_own(swept):
    results, _ = swept
    both = ablations(results, "-m", "ablation=groups,shuffle")
    assert "Plan: 7 runs of 7 cells" in both.stdout
    narrow = ablations(results, "-m", "ablation=groups", "model.groups=1,8", "seed=range(1)")
    assert "Plan: 2 runs of 2 cells, 2 done" in narrow.stdout


def test_a_result_cut_short_is_said_and_trained_again(swept):
    results, _ = swept
    path = sorted(results.glob("runs/*/result.json"))[0]
    before = json.loads(path.read_text())
    path.write_text(path.read_text()[:40])
    again = ablations(results, "-m", "ablation=groups,shuffle")
    assert again.returncode == 0 and "cut short" in again.stdout and "1 to train" in again.stdout
    after = json.loads(path.read_text())
    assert after["weights_sha256"] == before["weights_sha256"], "the same run ends with the same weights"


def test_hydras_own_launcher_and_a_single_run(tmp_path):
    results = tmp_path / "results"
    basic = ablations(results, "-m", "hydra/launcher=basic", "model.groups=1,2")
    assert basic.returncode == 0 and "2 of 2 runs done" in basic.stdout, basic.stderr
    single = ablations(results, "model.groups=2")
    assert single.returncode == 0 and "done, error" in single.stdout
    assert len(finished(results)) == 2


def test_a_single_run_is_what_a_sweep_would_have_made_of_it(swept, tmp_path):
    results = tmp_path / "results"
    more = {**environment(), "OMP_NUM_THREADS": "2"}  # as on a user's machine, where torch takes all cores
    subprocess.run(command(results, "model.groups=2"), cwd=tmp_path, env=more, check=True, capture_output=True)
    ((run_id, alone),) = finished(results).items()
    swept_too = json.loads((run_folder.path_of(swept[0], run_id) / "result.json").read_text())
    assert alone["weights_sha256"] == swept_too["weights_sha256"]
    records = [
        json.loads((run_folder.path_of(place, run_id) / "provenance.json").read_text()) for place in (results, swept[0])
    ]
    assert records[0]["kernels"] == records[1]["kernels"]


def test_a_run_that_fails_and_one_that_diverges_leave_the_others_alone(tmp_path):
    results = tmp_path / "results"
    planned = ablations(results, "-m", "ablation=groups", "model.groups=1", "recipe.lr=0.02")
    (good,) = finished(results)
    assert planned.returncode == 0
    run_folder.path_of(results, good).rename(tmp_path / "aside")
    run_folder.path_of(results, good).write_text("a file where the run's folder should be")
    swept = ablations(results, "-m", "model.groups=1,2", "recipe.lr=0.02,1e30")
    assert swept.returncode == 1
    assert "1 of 4 runs done" in swept.stdout
    assert swept.stdout.count("diverged: The loss was not finite") == 2
    failures = [json.loads(path.read_text()) for path in results.glob("runs/*/failure.json")]
    assert {record["status"] for record in failures} == {"diverged"}
    assert "FileExistsError" in swept.stdout or "NotADirectoryError" in swept.stdout


def test_config_help_and_completion_are_hydras(tmp_path):
    job = ablations(tmp_path / "r", "--cfg=job", "model.groups=8")
    assert job.returncode == 0 and "groups: 8" in job.stdout
    shown = ablations(tmp_path / "r", "--help")
    assert shown.returncode == 0 and "preset: cifar10, cifar10-short, imagenet, quick, smoke, tiny" in shown.stdout
    code = "from ablations.__main__ import main; import sys; sys.argv = ['ablations', '-sc', 'query=bash']; main()"
    offered = execute([sys.executable, "-c", code], tmp_path, COMP_LINE="ablations preset=", COMP_POINT="17")
    assert "preset=cifar10" in offered.stdout


def test_a_sweep_whose_tables_cannot_be_written_ends_with_1(swept, tmp_path):
    results = tmp_path / "results"
    shutil.copytree(swept[0], results)
    (results / "tables").write_text("a file where the folder should be")
    (results / "complexity.json").mkdir()  # so that no time is spent on costs
    again = execute([*command(results, "-m", "ablation=groups"), "runtime.publish=true"], tmp_path)
    assert "5 of 5 runs done" in again.stdout and "written" in again.stderr, again.stderr
    assert again.returncode == 1 and "Traceback" not in again.stderr


def test_a_malformed_claim_stops_a_sweep_before_training(tmp_path):
    for folder in ("ablations", "analysis", "conf", "model"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    claims = tmp_path / "analysis" / "claims.yaml"
    lines = len(claims.read_text().splitlines())
    claims.write_text(claims.read_text() + "- id: mine\n  studdy: groups\n")
    results = tmp_path / "results"
    words = [*command(results, "-m", "ablation=groups"), "runtime.publish=true"]
    done = execute(words, tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 2 and f"claims.yaml, line {lines + 2}: studdy is no key of a claim" in done.stderr
    assert not finished(results) and "Traceback" not in done.stderr
