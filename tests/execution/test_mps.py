"""NVIDIA's MPS, by a program in its place: it runs while workers share a GPU, and ends with them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ablations.core.config import RuntimeConfig
from ablations.execution import mps
from tests.sweeps import until

PROGRAM = """#!/bin/sh
# In place of nvidia-cuda-mps-control: what it is told goes into $NOTES.
if [ "$1" = -f ]; then
    echo "starts, visible: ${CUDA_VISIBLE_DEVICES-all}" >> "$NOTES"
    [ -z "$BROKEN" ] || { echo "$BROKEN"; exit 1; }
    touch "$CUDA_MPS_PIPE_DIRECTORY/control"
    while [ -e "$CUDA_MPS_PIPE_DIRECTORY/control" ]; do sleep 0.02; done
    echo ends >> "$NOTES"
    exit 0
fi
read command
[ -e "${CUDA_MPS_PIPE_DIRECTORY-/nowhere}/control" ] || { echo "Cannot find MPS control daemon process"; exit 1; }
echo "$command" >> "$NOTES"
[ "$command" != quit ] || rm "$CUDA_MPS_PIPE_DIRECTORY/control"
"""

WAITS = f"""
import os, time
while not os.path.exists(os.environ["{mps.PIPES}"] + "/control"):
    time.sleep(0.01)
"""
"""In place of a CUDA program: returns when it is served."""


@pytest.fixture
def notes(tmp_path, monkeypatch) -> Path:
    """What the program is told; it is installed, and there are two GPUs."""
    program = tmp_path / "bin" / mps.PROGRAM
    program.parent.mkdir()
    program.write_text(PROGRAM)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
    monkeypatch.delenv(mps.PIPES, raising=False)
    monkeypatch.setattr(mps, "gpu_names", lambda runtime: ["4", "5"])
    monkeypatch.setattr(mps, "TRIAL", WAITS)
    (tmp_path / "notes").touch()
    return tmp_path / "notes"


def fail(text: str) -> None:
    raise AssertionError(text)


def test_it_runs_meanwhile_in_folders_of_its_own(notes):
    with mps.shared_gpus(RuntimeConfig(), 4, fail):
        folder = Path(os.environ[mps.PIPES])
        assert folder.is_dir() and os.environ[mps.LOGS] == str(folder) and len(str(folder)) < 80
        assert notes.read_text() == "starts, visible: all\n", "workers name GPUs by the system's numbers"
    assert notes.read_text().splitlines() == ["starts, visible: all", "quit", "ends"]
    assert not folder.exists() and mps.PIPES not in os.environ and mps.LOGS not in os.environ


def test_it_ends_with_a_sweep_that_fails(notes):
    with pytest.raises(KeyboardInterrupt), mps.shared_gpus(RuntimeConfig(), 4, fail):
        raise KeyboardInterrupt
    assert notes.read_text().splitlines()[-1] == "ends" and mps.PIPES not in os.environ


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_with_a_gpu_each_need_none(notes, workers):
    with mps.shared_gpus(RuntimeConfig(), workers, fail):
        assert mps.PIPES not in os.environ
    assert notes.read_text() == ""


def test_one_that_the_user_runs_is_used(notes, tmp_path, monkeypatch):
    monkeypatch.setenv(mps.PIPES, str(tmp_path))
    (tmp_path / "control").touch()
    with mps.shared_gpus(RuntimeConfig(), 4, fail):
        assert os.environ[mps.PIPES] == str(tmp_path)
    assert notes.read_text() == "get_server_list\n", "and goes on afterwards"


@pytest.mark.parametrize(
    "why,said",
    [
        ("absent", "nvidia-cuda-mps-control is not installed."),
        ("broken", "cannot serve here (not permitted)."),
        ("useless", "cannot serve here (CUDA error 805)."),
        ("hangs", "has not served a program within 1 s."),
    ],
)
def test_where_it_cannot_be_had_a_sentence_says_why(notes, monkeypatch, why, said):
    if why == "absent":
        monkeypatch.setenv("PATH", "/nowhere")
    if why == "broken":
        monkeypatch.setenv("BROKEN", "not permitted")
        monkeypatch.setattr(mps, "TRIAL", "import time; time.sleep(0.5)")
    if why == "useless":
        monkeypatch.setattr(mps, "TRIAL", WAITS + "raise SystemExit('CUDA error 805')")
    if why == "hangs":
        monkeypatch.setattr(mps, "SECONDS", 1.0)
        monkeypatch.setattr(mps, "TRIAL", "import time; time.sleep(60)")
    told = []
    with mps.shared_gpus(RuntimeConfig(), 4, told.append):
        assert mps.PIPES not in os.environ, "else no CUDA program would work"
    (sentence,) = told
    assert sentence.startswith("4 processes on 2 GPUs take turns, since NVIDIA's MPS is not at hand: ")
    assert said in sentence
    assert notes.read_text().splitlines()[-1:] != ["starts, visible: all"] or why == "broken"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is no MPS")
def test_it_ends_with_a_sweep_that_is_killed(notes):
    code = f"""
import time
from ablations.core.config import RuntimeConfig
from ablations.execution import mps
mps.gpu_names, mps.TRIAL = (lambda runtime: ["0"]), {WAITS!r}
with mps.shared_gpus(RuntimeConfig(), 2, print):
    import os
    print(os.environ[mps.PIPES], flush=True)
    time.sleep(60)
"""
    sweep = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    folder = sweep.stdout.readline().strip()

    def serving() -> bool:
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                found.append(f"{mps.PIPES}={folder}\0" in (place / "environ").read_text())
            except OSError:
                continue
        return any(found)

    assert serving()
    sweep.kill()
    sweep.wait()
    until(lambda: not serving(), 10, "it ends")
