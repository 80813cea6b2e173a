"""GPU benchmarks: they run on a machine that has torch, Triton and numpy and nothing else."""

import json
import subprocess
import sys

import pytest

from ablations.core.paths import ROOT
from benchmarks import gpu_bench, gpu_check, gpu_faults

BARE = """
import sys
from importlib.abc import MetaPathFinder

ABSENT = {"omegaconf", "hydra", "pydantic", "pydantic_core", "pandas", "scipy", "PIL", "yaml", "rich", "matplotlib"}
ABSENT |= {"torchvision", "torchcodec", "fvcore", "submitit", "tabulate", "tqdm", "pytest"}

class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(name, name=name)

import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name in ABSENT else found(name, *rest)
sys.meta_path.insert(0, Absent())
"""


@pytest.mark.parametrize("script", ["gpu_check", "gpu_faults"])
def test_they_import_torch_triton_and_numpy_only(script):
    code = f"{BARE}\nimport benchmarks.{script}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_gpu_check_goes_through_all_its_steps_on_the_cpu(tmp_path):
    """By stand-ins for what only a GPU has: it must not fail there for want of a trial."""
    command = [sys.executable, "benchmarks/gpu_check.py", "--tiny", "--out", str(tmp_path), "--seconds", "3000"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    names = [step.__name__ for step in gpu_check.STEPS]
    found = {name: json.loads((tmp_path / f"{k}-{name}.json").read_text()) for k, name in enumerate(names)}
    assert [each["state"] for each in found.values()] == ["done"] * len(names)
    rows = [row for each in found.values() for row in each["table"]]
    assert sum(row["holds"] is True for row in rows) == 13 and not any(row["holds"] is False for row in rows)
    assert all(len(row["what"]) < 60 for row in rows)
    assert all(row["ms"] > 0 and row["pytorch_ms"] > 0 and row["copy_ms"] > 0 for row in found["kernels"]["rows"])
    assert all(row["ms"] > 0 and row["nodes"] > 0 for row in found["steps"]["rows"])
    assert [row["graphs"] for row in found["together"]["rows"]] == [1, 2]
    for row in found["products"]["rows"]:
        parts = row["forward_ms"] + row["input_ms"] + row["weight_ms"]
        assert row["copy_ms"] > 0 and abs(row["ms"] - parts) < 1e-6 * parts
    convolutions = [each for each in found["products"]["each"] if each["shape"][1] == 6]
    assert sum(each["count"] for each in convolutions) == 2 * 16 - 1, "all but the first are grouped, of 2 x 3 groups"
    memory, item, access = (found["faults"][name] for name in gpu_faults.FAULTS)
    assert memory["first_of_two_cells"] == ["OutOfMemoryError"] and memory["second"] == memory["next_run"] == ["done"]
    assert item["told"] == ["RuntimeError: in place of a capture's failure"] and item["trained_eagerly"] == ["done"]
    assert "illegal access" in access["raised"] and {each["exit_code"] for each in (memory, item, access)} == {0}
    assert [row["g"] for row in found["compiling"]["rows"]] == [1, 3] and found["compiling"]["not_compiled"]
    assert [row["networks"] for row in found["ways"]["rows"]] == [1, 1, 1, 2, 2, 2]
    last = done.stdout.splitlines()[-len(rows) :]
    assert last == (tmp_path / "README.md").read_text().splitlines()[-len(rows) :], "a table comes last"
    assert last[0].startswith("| versions: done") and all(line.count("|") == 6 for line in last)


@pytest.fixture
def bench():
    return gpu_check.bench_of(True, 600)


def test_a_process_that_breaks_is_told_of(tmp_path, monkeypatch, bench):
    """Its last words count, however it ended: with an unusable GPU, a process may be killed as it leaves."""
    monkeypatch.setattr(gpu_check.sys, "executable", "false")
    assert gpu_check.main(["--tiny", "--out", str(tmp_path), "--only", "faults"]) == 1
    (path,) = tmp_path.glob("*.json")
    found = json.loads(path.read_text())
    assert [found[name]["exit_code"] for name in gpu_faults.FAULTS] == [1, 1, 1]
    assert [row["holds"] for row in found["table"]] == [False] * 3
    says = tmp_path / "says"
    says.write_text('#!/bin/sh\necho \'{"raised": 7, "ok": true}\'\nexit 134\n')
    says.chmod(0o755)
    monkeypatch.setattr(gpu_check.sys, "executable", str(says))
    first = next(gpu_check.faults(bench))
    assert first["out_of_memory"] == {"raised": 7, "ok": True, "exit_code": 134} and first["table"][0]["holds"]
    says.write_text("#!/bin/sh\nexec sleep 600\n")
    monkeypatch.setattr(gpu_check, "max", lambda *_: 0.1, raising=False)
    slow = next(gpu_check.faults(bench))["table"][0]
    assert slow["found"] == "error: no answer in 0 s" and slow["holds"] is None, "its time was over"


def test_what_a_step_has_found_is_written_at_once_and_kept_when_it_fails_or_time_is_over(tmp_path, monkeypatch, bench):
    path, now = tmp_path / "step.json", [0.0]

    def step(_):
        for k in range(3):
            yield {"seen": k, "table": [gpu_check.row(f"row {k}", k)]}
            assert json.loads(path.read_text())["seen"] == k
            now[0] += 400
        raise RuntimeError("at last")

    rows = gpu_check.take(step, bench, path)
    assert [row["what"] for row in rows] == ["row 0", "row 1", "row 2", "error"] and rows[-1]["holds"] is False
    assert "at last" in json.loads(path.read_text())["error"]
    monkeypatch.setattr(gpu_check.time, "monotonic", lambda: bench.until - 600 + now[0])
    now[0] = 0
    assert [row["what"] for row in gpu_check.take(step, bench, path)] == ["row 0", "row 1", "row 2"]
    assert json.loads(path.read_text())["state"] == "out of time"
    (row,) = gpu_check.take(step, bench, path)
    assert row["step"].startswith("step: out of time") and "| row | 2 |" not in gpu_check.markdown([row])


def test_a_step_that_cannot_be_captured_says_why(bench):
    def fails(body):
        raise RuntimeError("no graphs today")

    step, _ = gpu_bench.step_of(bench, [gpu_bench.run_of(bench, 1, 0.25, 0)], gpu_bench.REFERENCE, True)
    step.capture = fails
    with pytest.warns(UserWarning), pytest.raises(RuntimeError, match="not captured: RuntimeError: no graphs today"):
        gpu_bench.run_steps(step, 0, 5)


def test_the_gpu_check_stops_at_its_time(tmp_path):
    """With what it has found so far."""
    command = [sys.executable, "benchmarks/gpu_check.py", "--tiny", "--out", str(tmp_path), "--seconds", "0.01"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode in (1, 2) and ("cut off" in done.stdout or "out of time" in done.stdout)
    assert (tmp_path / "README.md").exists()
