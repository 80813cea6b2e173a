"""What a stranger writes works from end to end: a family and a study in a folder of their own, none of it known here.

Killed and gone on with, trained by two processes and as a task of Slurm's, merged, judged, packed, explained.
"""

import json
import pickle
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ablations.store import run_folder
from ablations.sweep import work_list
from ablations.sweep.slurm.task import SlurmTask
from tests.sweeps import environment, finished

NET = '''
"""Convolutions in a row, with another nonlinearity."""

from dataclasses import dataclass, field

from model.family import Input


@dataclass(frozen=True)
class Axes:
    layers: int = field(default=1, metadata={"range": (1, 4)})
    wave: bool = False


def build(axes: Axes, given: Input):
    import torch
    from torch import nn

    from stranger.waves import Wave

    channels, parts = given.channels, []
    for _ in range(axes.layers):
        parts += [nn.Conv2d(channels, 8, 3, 2, 1), nn.BatchNorm2d(8), Wave() if axes.wave else nn.ReLU()]
        channels = 8
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, given.classes))
'''
WAVES = """
import torch


class Wave(torch.nn.Module):
    def forward(self, x):
        return torch.sin(x)
"""
STUDY = """
# @package _global_
study: waves
family: stranger.net
hydra: {sweeper: {params: {model.layers: "1,2", model.wave: "false,true"}}}
table:
  title: Waves
  rows: [model.layers]
  columns: [model.wave]
  gain: {axis: model.wave, from: false, to: true}
figures: [error_by_axis, gain, error_by_macs]
claims: waves_claims.yaml
"""
CLAIMS = """
- id: waves-help
  says: With {layers} layers, waves take error off.
  for: {layers: [1, 2]}
  gain: {from: {wave: false}, to: {wave: true}}
  margin: 0.5
- id: waves-lower-the-loss
  says: With one layer, waves lower the loss.
  gain: {from: {wave: false}, to: {wave: true}}
  metric: loss
  margin: 0.01
- id: waves-help-on-other-images
  says: With one layer, waves take error off other images, too.
  gain: {from: {wave: false}, to: {wave: true}}
  over: seeds and images
  margin: 0.5
"""


LIST = """
import sys
from pathlib import Path

from ablations.core.config import RuntimeConfig
from ablations.sweep import work_list
from ablations.sweep.hydra_app import compose

jobs = compose(sys.argv[2:], Path(sys.argv[1]))
print(work_list.write_job_list(jobs, "cpu", RuntimeConfig(device="cpu", workers=1, publish=False)))
"""


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """The folder that a stranger wrote."""
    folder = tmp_path / "elsewhere" / "stranger"
    (folder / "ablation").mkdir(parents=True)
    for name, text in {
        "net.py": NET,
        "waves.py": WAVES,
        "ablation/waves.yaml": STUDY.lstrip(),
        "ablation/waves_claims.yaml": CLAIMS,
    }.items():
        (folder / name).write_text(text)
    return folder


def command(results: Path, stranger: Path, *more: str) -> list[str]:
    overrides = ("data.train_images=64", "data.test_images=32", "runtime.progress=plain", "runtime.workers=1")
    return [
        *(sys.executable, "-m", "ablations", "-m", f"--config-dir={stranger}", "ablation=waves", "preset=smoke"),
        *(*overrides, f"runtime.results_dir={results}", f"data.cache_dir={results.parent / 'cache'}", *more),
    ]  # fmt: skip


def run(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=folder, env=environment(), capture_output=True, text=True, timeout=600)


def module(name: str, *words: str, folder: Path) -> str:
    done = run([sys.executable, "-m", name, *words], folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_killed_gone_on_with_merged_judged_packed_and_explained(tmp_path: Path, stranger: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    one_at_a_time = ("seed=0,1", "runtime.fuse=1")
    sweep = subprocess.Popen(
        command(here, stranger, *one_at_a_time), cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL
    )
    while not finished(here) and sweep.poll() is None:
        time.sleep(0.05)
    sweep.kill()
    sweep.wait()
    before = finished(here)
    assert 0 < len(before) < 8
    done = run(command(here, stranger, *one_at_a_time), tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(finished(here)) == 8 and before.items() <= finished(here).items()
    assert "8 of 8 runs done" in done.stdout and "Claims: " in done.stdout

    other = run(command(there, stranger, "seed=2", "runtime.publish=false"), tmp_path)
    assert other.returncode == 0, other.stderr
    assert "runs: 4 brought in" in module("ablations.merge", str(there), "--results", str(here), folder=tmp_path)
    module("analysis", "--results", str(here), folder=tmp_path)
    claims = {one["claim"]: one for one in json.loads((here / "claims.json").read_text())["claims"]}
    assert set(claims) == {
        *("waves-help-layers-1", "waves-help-layers-2", "waves-lower-the-loss", "waves-help-on-other-images"),
    }
    assert {(one["seeds_least"], one["seeds_most"]) for one in claims.values()} == {(3, 3)}
    loss, images = claims["waves-lower-the-loss"], claims["waves-help-on-other-images"]
    assert (loss["unit"], images["over"]) == ("nats", "seeds and images") and None not in (loss["p"], images["p"])
    assert "clustered by run and by image" in images["method"]
    page = (here / "report.html").read_text()
    assert "set in stranger/ablation/waves_claims.yaml and not by" in page and "nats of loss" in page
    for name in ("waves_curves", "waves_gain", "waves_error_by_axis"):
        assert (here / "figures" / f"{name}.svg").exists()

    module("analysis.reference", "pack", str(here), str(tmp_path / "packed"), folder=tmp_path)
    module("analysis.reference", "check", str(tmp_path / "packed"), folder=tmp_path)
    cell = ("--cell", "wave=true", "--cell", "layers=2")
    said = module("analysis.explain", "waves", *cell, "--results", str(here), folder=tmp_path)
    assert "3 of 3 seeds" in said and "wave" in said
    cost = (f"--config-dir={stranger}", "ablation=waves", "preset=smoke", f"runtime.results_dir={here}")
    assert "4 cells" in module("ablations.cost", *cost, folder=tmp_path)


@pytest.mark.slow
def test_two_processes_train_a_run_and_a_task_of_slurms_finds_the_folder(tmp_path: Path, stranger: Path) -> None:
    """A task knows the list alone: neither --config-dir nor the folder itself, which may lie on another machine."""
    results, cell = tmp_path / "results", ("model.layers=1", "model.wave=true", "runtime.publish=false")
    two = ("recipe.ghost_batches=2", "runtime.processes_per_run=2")
    done = run(command(results, stranger, *cell, "seed=0", *two), tmp_path)
    assert done.returncode == 0 and len(finished(results)) == 1, done.stdout + done.stderr

    overrides = [word for word in command(results, stranger, *cell, "seed=0,1")[4:] if not word.startswith("--")]
    path = Path(run([sys.executable, "-c", LIST, str(stranger), *overrides], tmp_path).stdout.split()[-1])
    stranger.rename(stranger.with_name("gone"))
    assert len(work_list.run_ids(path)) == 2
    task = f"import pickle; pickle.loads({pickle.dumps(SlurmTask(path))!r})(0)"
    done = run([sys.executable, "-c", task], tmp_path)
    assert done.returncode == 0 and "all 2, 2 are done" in done.stdout, done.stdout + done.stderr
    assert all(run_folder.result(results, run_id) for run_id in work_list.run_ids(path))
