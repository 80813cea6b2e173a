"""GPU benchmarks: they run on a machine that has torch, Triton and numpy and nothing else."""

import json
import subprocess
import sys

import pytest

from ablations.core.paths import ROOT

BARE = """
import sys
from importlib.abc import MetaPathFinder

ABSENT = {"omegaconf", "hydra", "pydantic", "pydantic_core", "pandas", "scipy", "PIL", "yaml", "rich"}

class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(name, name=name)

import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name in ABSENT else found(name, *rest)
sys.meta_path.insert(0, Absent())
"""


@pytest.mark.parametrize("script", ["gpu", "gpu_check"])
def test_they_import_torch_triton_and_numpy_only(script):
    code = f"{BARE}\nimport benchmarks.{script}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_gpu_check_goes_through_all_its_steps_on_the_cpu(tmp_path):
    """By stand-ins for what only a GPU has: it must not fail there for want of a trial."""
    command = [sys.executable, "benchmarks/gpu_check.py", "--tiny", "--out", str(tmp_path), "--seconds", "3000"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    names = ["versions", "compiling", "kernels", "equality", "steps", "products", "together", "epochs", "faults"]
    found = {name: json.loads((tmp_path / f"{k}-{name}.json").read_text()) for k, name in enumerate(names)}
    assert not any("error" in each or "skipped" in each for each in found.values())
    assert found["kernels"]["ok"] and found["versions"]["torch"]
    for precision in ("float32", "bfloat16"):
        same = found["equality"][precision]
        assert same["captured_to_eager"] < 1e-5 and same["twice_to_the_bit"] and same["deterministic_twice_to_the_bit"]
        assert same["beside_one_that_diverges"] == 0 and same["it_diverges"]
    assert all(row["ms"] > 0 and row["nodes"] > 0 for row in found["steps"]["rows"])
    assert [row["graphs"] for row in found["together"]["rows"]] == [1, 2]
    assert found["together"]["cells_at_once_to_the_bit"] and found["epochs"]["data_sent_to_the_bit"]
    for row in found["products"]["rows"]:
        parts = row["forward_ms"] + row["input_ms"] + row["weight_ms"]
        assert row["copy_ms"] > 0 and abs(row["ms"] - parts) < 1e-6 * parts
    convolutions = [each for each in found["products"]["each"] if each["shape"][1] == 6]
    assert sum(each["count"] for each in convolutions) == 2 * 16 - 1, "all but the first are grouped, of 2 x 3 groups"
    assert found["epochs"]["failed"] == [] and found["epochs"]["by_activity"]["train"] > 0
    memory = found["faults"]["out_of_memory"]
    assert memory["first_of_two_cells"] == ["OutOfMemoryError"] and memory["second"] == ["TrainResult"]
    assert memory["next_run_is_done"] and found["faults"]["item_in_the_body"]["done_eagerly"]
    assert "illegal access" in found["faults"]["illegal_access"]["raised"]
    assert [fault["exit_code"] for name, fault in found["faults"].items() if name != "took"] == [0, 0, 0]
    assert [row["g"] for row in found["compiling"]["rows"]] == [1, 3] and found["compiling"]["not_compiled"] > 0
    assert all(name in done.stdout.splitlines()[-1 - k] for k, name in enumerate(reversed(names))), "a table comes last"


def test_steps_can_be_run_alone_and_a_process_that_breaks_is_told_of(tmp_path, monkeypatch):
    """Its last words count, however it ended: with an unusable GPU, a process may be killed as it leaves."""
    from benchmarks import gpu_check

    monkeypatch.setattr(gpu_check.sys, "executable", "false")
    assert gpu_check.main(["--tiny", "--out", str(tmp_path), "--only", "faults"]) == 0
    found = json.loads((tmp_path / "8-faults.json").read_text())
    assert [each.name for each in tmp_path.iterdir() if each.suffix == ".json"] == ["8-faults.json"]
    assert {each["exit_code"] for name, each in found.items() if name != "took"} == {1}
    says = tmp_path / "says"
    says.write_text("#!/bin/sh\necho '{\"raised\": 7}'\nexit 134\n")
    says.chmod(0o755)
    monkeypatch.setattr(gpu_check.sys, "executable", str(says))
    assert gpu_check.faults(gpu_check.bench_of(True, 60))["illegal_access"] == {"raised": 7, "exit_code": 134}


def test_the_gpu_check_stops_at_its_time(tmp_path):
    """With what it has found so far; an error of a step does not end it."""
    command = [sys.executable, "benchmarks/gpu_check.py", "--tiny", "--out", str(tmp_path), "--seconds", "0.01"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode in (1, 2) and ("cut off" in done.stdout or "out of time" in done.stdout)
    assert (tmp_path / "README.md").exists()
