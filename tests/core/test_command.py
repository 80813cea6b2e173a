"""Every command ends as Unix tools do: after Ctrl-C, when its reader leaves, and without an output to write to."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ablations.core.paths import REFERENCE, ROOT
from analysis import publish
from analysis.runs import macs
from tests import results_fixture as fixture
from tests import sweeps
from tests.sweeps import hear_interrupts

EXPLAIN = ("table2", "--groups", "3", "--width", "0.25")
COMMANDS = {
    # address: (the module that does the work, arguments after which something is printed)
    "ablations": ("ablations.sweep.hydra_app", ["--help"]),
    "ablations.cost": ("ablations.profiling.cost", ["--help"]),
    "ablations.latency": ("ablations.profiling.latency", ["--help"]),
    "ablations.merge": ("ablations.store.merge", ["{results}", "--results", "{other}", "--dry-run"]),
    "ablations.status": ("ablations.monitor.status", ["--results", "{results}"]),
    "ablations.tasks": ("ablations.sweep.cluster_task", ["--help"]),
    "analysis": ("analysis.runs.files", ["--results", "{results}"]),
    "analysis.explain": ("analysis.explain.commands", [*EXPLAIN, "--results", "{results}"]),
    "analysis.notebooks": ("analysis.notebooks.execute", ["--help"]),
    "analysis.reference": ("analysis.reference.commands", ["unpack", "{packed}", "{other}/unpacked"]),
}
PRINTERS = ("ablations", "ablations.cost", "ablations.merge", "ablations.status", "analysis", "analysis.explain")
"""One for each way to print: Hydra's help, argparse's, Rich's text and tables, plain lines."""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cell, published: tables need not be written, and no network measured."""
    folder = tmp_path_factory.mktemp("results")
    one = fixture.run(3, 0.25)
    fixture.write_plan(folder, "groups", [one])
    fixture.write_done(folder, one, 0.3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(macs, "_measure", fixture.cheap_costs)
        publish.publish(folder)
    return folder


def environment() -> dict[str, str]:
    """As a user has it: output is buffered."""
    return {key: value for key, value in sweeps.environment().items() if key != "PYTHONUNBUFFERED"}


def line(address: str, results: Path, other: Path) -> list[str]:
    packed = REFERENCE / "cifar10"
    given = [text.format(results=results, other=other, packed=packed) for text in COMMANDS[address][1]]
    return [sys.executable, "-m", address, *given]


def interrupted(command: list[str], when: str, whom: str = "me", where: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command that gets Ctrl-C when it imports or opens something."""
    surroundings = environment()
    surroundings["PYTHONPATH"] = os.pathsep.join([str(ROOT / "tests" / "interrupt"), surroundings["PYTHONPATH"]])
    surroundings |= {"INTERRUPT_WHEN": when, "INTERRUPT_WHOM": whom, "INTERRUPT_WHERE": where}
    return subprocess.run(
        command,
        cwd=ROOT,
        env=surroundings,
        capture_output=True,
        text=True,
        timeout=240,
        preexec_fn=hear_interrupts,
        start_new_session=True,
    )


@pytest.mark.parametrize("address", COMMANDS)
def test_ctrl_c_in_an_import(address: str, results: Path, tmp_path: Path) -> None:
    done = interrupted(line(address, results, tmp_path), COMMANDS[address][0])
    assert done.returncode == 130, done.stderr
    assert done.stderr.startswith("Stopped") and done.stderr.count("\n") == 1, done.stderr


@pytest.mark.parametrize(
    ("address", "when", "more"),
    [
        ("ablations.status", "plans", []),
        ("ablations.merge", "run.json", []),
        ("ablations.cost", "config.yaml", ["preset=smoke"]),
        ("ablations.latency", ".probe", ["--results", "{other}"]),
        ("analysis", "run.json", ["--force"]),
        ("analysis.explain", "run.json", []),
        ("analysis.reference", "study.json", []),
    ],
)
def test_ctrl_c_at_work(address: str, when: str, more: list[str], results: Path, tmp_path: Path) -> None:
    known = [word for word in line(address, results, tmp_path) if word != "--help"]
    done = interrupted([*known, *(word.format(other=tmp_path) for word in more)], when)
    assert done.returncode == 130, done.stderr
    assert done.stderr.startswith("Stopped") and done.stderr.count("\n") == 1, done.stderr


def test_ctrl_c_while_a_notebook_runs(results: Path) -> None:
    command = [sys.executable, "-m", "analysis.notebooks", "--results", str(results)]
    done = interrupted(command, "analysis.notebooks.show", whom="parent")
    assert done.returncode == 130 and done.stderr == "Stopped.\n", done.stderr


def test_ctrl_c_while_a_worker_starts(tmp_path: Path) -> None:
    """A terminal tells every process of a sweep: no worker says a word, and no run counts as killed."""
    results, grid = tmp_path / "results", ("-m", "model.groups=1", "runtime.workers=1")
    assert sweeps.ablations(results, *grid, "seed=0").returncode == 0  # the networks are verified now, the data cached
    again = sweeps.command(results, *grid, "seed=1")
    done = interrupted(again, "ablations.execution.worker", whom="group", where="spawn_main")
    assert done.returncode == 130 and done.stderr.startswith("Stopped"), done.stdout + done.stderr
    assert done.stderr.count("\n") == 1 and "killed" not in done.stdout, done.stdout + done.stderr
    assert not list(results.glob("runs/*/failure.json")) and len(sweeps.finished(results)) == 1


@pytest.mark.parametrize("address", PRINTERS)
def test_a_reader_that_leaves(address: str, results: Path, tmp_path: Path) -> None:
    """As `| head` does: nobody reads what is written."""
    theirs, ours = os.pipe()
    os.close(theirs)
    try:
        done = subprocess.run(
            line(address, results, tmp_path),
            cwd=ROOT,
            env=environment(),
            stdout=ours,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        os.close(ours)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("address", PRINTERS)
def test_without_standard_streams(address: str, results: Path, tmp_path: Path) -> None:
    closed = ["sh", "-c", 'exec "$@" <&- >&-', "sh", *line(address, results, tmp_path)]
    done = subprocess.run(closed, cwd=ROOT, env=environment(), stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_full_disk_behind_the_output_is_told(results: Path, tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        command = line("analysis", results, tmp_path)
        done = subprocess.run(command, cwd=ROOT, env=environment(), stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr == "error: standard output cannot be written (No space left on device).\n"


def test_another_pipe_that_breaks_is_no_reader_that_left() -> None:
    code = (
        "from ablations.core.command import command\n"
        "def main(): raise BrokenPipeError('a pipe to a worker')\n"
        "command(main)()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and "a pipe to a worker" in done.stderr
