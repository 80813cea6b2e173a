"""What is shown while runs train: a bar and rows on a terminal, plain lines elsewhere; single runs, too."""

import io
import re
import time

import pytest
from rich.console import Console

from ablations.core.job_state import JobState
from ablations.monitor import live
from ablations.store import run_folder
from tests.results_fixture import grid
from tests.sweeps import ablations


class Fake:
    """What a view reads of a job."""

    def __init__(self, results, run):
        self.results, self.run = results, run


@pytest.fixture
def job(tmp_path):
    run = grid("groups", [0])[0]
    folder = run_folder.path_of(tmp_path, run.run_id)
    folder.mkdir(parents=True)
    run_folder.write_progress(folder, epoch=2, epochs=4, step=5, steps=10, loss=1.25, images_per_second=50.0)
    (folder / "metrics.csv").write_text("epoch,test_error\n1,0.5\n2,0.25\n")
    return Fake(tmp_path, run)


def shown(monkeypatch, job, states, terminal=True, **environment):
    stream = io.StringIO()
    for name, value in {"TERM": "xterm", **environment}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(live, "console", lambda: Console(file=stream, force_terminal=terminal, width=100))
    with live.Live([job] * len(states), "auto") as view:
        view.update(states, [""] * len(states))
        if view.live:
            view.live.refresh()
    return stream.getvalue()


def test_a_terminal_shows_a_bar_over_all_runs_and_the_error_so_far(monkeypatch, job):
    text = shown(monkeypatch, job, [JobState.RUNNING, JobState.WAITING])
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).split("\n")
    assert lines[0].startswith("0 of 2 runs ended") and "left" in lines[0]
    assert set(lines[1].strip()) == {"\u2501", "\u257a"}
    assert lines[2].split() == ["cell", "seed", "epoch", "loss", "error", "so", "far", "img/s", "ETA"]
    assert lines[3].split()[:7] == ["g1", "0.25x", "0", "2/4", "1.250", "25.00", "%"]


@pytest.mark.parametrize("terminal,term", [(False, "xterm"), (True, "dumb")])
def test_elsewhere_lines_are_plain(monkeypatch, job, terminal, term):
    text = shown(monkeypatch, job, [JobState.RUNNING], terminal, TERM=term)
    assert text.endswith("epoch 2/4  loss 1.250  50 img/s\n") and "\x1b[" not in text.replace("\x1b[0m", "")


def test_a_run_of_this_process_is_shown_meanwhile(monkeypatch, job, capsys):
    monkeypatch.setattr(live, "LOOK_SECONDS", 0.01)
    with live.alongside(job, "plain"):
        until = time.monotonic() + 20
        said = ""
        while "epoch 2/4" not in said and time.monotonic() < until:
            time.sleep(0.01)
            said += capsys.readouterr().out
    assert "epoch 2/4" in said


def test_a_single_run_says_how_far_it_is(tmp_path):
    done = ablations(tmp_path / "results", "recipe.epochs=3", "data.train_images=256", "recipe.batch_size=16")
    assert done.returncode == 0, done.stderr
    assert ": done, error" in done.stdout
