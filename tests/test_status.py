"""`make status` and the lines a sweep prints: done, running, failed and missing runs, each by name."""

import sys
import time

import numpy as np
import pytest

from ablations import files, report, status, store
from ablations.config import Config
from ablations.execute import Job
from ablations.live import Live
from ablations.plan import Planned, make_plan, write_plans
from tests.make import run


@pytest.fixture
def results(tmp_path):
    """Five planned runs: one done, one running, one stopped long ago, one diverged, one missing."""
    jobs = [Planned(run(seed=seed), Config(study="groups", preset="p"), ()) for seed in range(5)]
    write_plans(jobs, tmp_path, "command")
    ids = [job.run.run_id for job in jobs]
    store.write_metrics(store.begin(tmp_path, jobs[0].run, {}), [])
    store.finish(
        store.run_folder(tmp_path, ids[0]),
        {"run_id": ids[0], "error": 0.25, "seconds": {"total": 3.0}},
        np.ones(8, bool),
    )
    live = {"state": "running", "epoch": 1, "epochs": 2, "step": 3, "steps": 8, "loss": 1.0, "images_per_second": 50.0}
    store.write_progress(store.begin(tmp_path, jobs[1].run, {}), **live)
    old = store.begin(tmp_path, jobs[2].run, {})
    files.write_json(old / "progress.json", {**live, "updated": time.time() - 1000})
    store.fail(store.run_folder(tmp_path, ids[3]), ids[3], "diverged", "The loss was not finite.")
    return tmp_path, jobs


def test_states(results):
    folder, jobs = results
    states = [status.state_of(folder, job.run.run_id)[0] for job in jobs]
    assert states == ["done", "running", "stopped", "diverged", "missing"]


def test_the_table_counts_every_seed(results, monkeypatch, capsys):
    folder, _ = results
    monkeypatch.setattr(sys, "argv", ["status", "--results", str(folder)])
    monkeypatch.setenv("COLUMNS", "160")
    status.main()
    said = capsys.readouterr().out
    assert "groups, preset p" in said and "1 of 5" in said and "25.00" in said and "1/2" in said
    assert "1 diverged, 1 missing, 1 running, 1 stopped" in said


def test_nothing_planned_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["status", "--results", str(tmp_path)])
    with pytest.raises(SystemExit, match="Nothing has been planned"):
        status.main()


def jobs_of(planned, folder):
    return [Job(p.run, folder, folder, "cpu", 1, False, 0, {}) for p in planned]


@pytest.mark.parametrize("style", ["plain", "rich"])
def test_live_shows_what_ends_and_what_runs(results, capsys, style):
    folder, planned = results
    states = ["done", "running", "waiting", "diverged", "failed"]
    with Live(jobs_of(planned, folder), style) as live:
        live.update(states, ["", "", "", "", "no room"])
        live.update(states, ["", "", "", "", "no room"])
    said = capsys.readouterr().out
    assert said.count("seed 0  done  error 25.00 %") == 1
    assert "seed 3  diverged  The loss was not finite." in said and "seed 4  failed  no room" in said
    if style == "plain":
        assert said.count("seed 1  epoch 1/2  loss 1.000  50 img/s") == 1


def test_the_live_table_has_loss_speed_and_time_left(results):
    folder, planned = results
    live = Live(jobs_of(planned, folder), "plain")
    with live.console.capture() as shown:
        live.console.print(live._table(["done", "running", "waiting", "waiting", "waiting"]))
    text = shown.get()
    assert "1 of 5 runs ended" in text and "1.000" in text and "2 s" in text


def test_the_outcome_names_what_is_not_done(results, capsys):
    folder, planned = results
    plan = make_plan(planned, folder)
    report.show_outcome(plan, plan.todo, folder)
    said = capsys.readouterr().out
    assert "1 of 5 runs done" in said and "diverged: The loss was not finite." in said and "not run" in said


def test_what_an_error_says_is_shown_to_the_letter(results, capsys):
    """Brackets in a message are not markup; a closing tag that opens nothing would end the sweep."""
    folder, planned = results
    run_id = planned[4].run.run_id
    store.fail(store.run_folder(folder, run_id), run_id, "failed", "KeyError: '[/x]' in [red]list[/red]")
    report.show_outcome(make_plan(planned, folder), [planned[4]], folder)
    with Live(jobs_of(planned, folder), "plain") as live:
        live.update(["done", "waiting", "waiting", "waiting", "failed"], [""] * 5)
    assert capsys.readouterr().out.count("KeyError: '[/x]' in [red]list[/red]") == 2


def test_durations():
    assert [report.duration(s) for s in (5, 89, 600, 7260)] == ["5 s", "89 s", "10 min", "2 h 1 min"]
