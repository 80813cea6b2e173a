"""`make status` and the lines a sweep prints: done, running, failed and planned runs, each by name."""

import json
import os
import pty
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from ablations.core import console, files
from ablations.core.config import Config
from ablations.core.run_spec import Axes, Variant
from ablations.execution.job import Job
from ablations.execution.scheduling import relative_cost
from ablations.monitor import status
from ablations.monitor.forecast import forecast
from ablations.monitor.live import Live
from ablations.store import plans, run_folder, run_state
from ablations.store.records import Progress, Result
from ablations.store.run_state import RunStatus
from ablations.sweep import messages
from ablations.sweep.plan import Planned, make_plan
from tests.make import run
from tests.sweep.test_plan import write_plans
from tests.sweeps import ROOT, environment


@pytest.fixture
def results(tmp_path):
    """Five planned runs: one done, one running, one stopped long ago, one diverged, one not begun."""
    jobs = [Planned(run(seed=seed), Config(study="groups", preset="p"), ()) for seed in range(5)]
    write_plans(jobs, tmp_path, "command")
    ids = [job.run.run_id for job in jobs]
    run_folder.write_metrics(run_folder.begin(tmp_path, jobs[0].run, {}), [])
    run_folder.finish(
        run_folder.path_of(tmp_path, ids[0]),
        {"run_id": ids[0], "error": 0.25, "test_images": 8, "seconds": {"total": 3.0}},
        np.ones(8, bool),
    )
    live = {"state": "running", "epoch": 1, "epochs": 2, "step": 3, "steps": 8, "loss": 1.0, "images_per_second": 50.0}
    run_folder.write_progress(run_folder.begin(tmp_path, jobs[1].run, {}), **live)
    old = run_folder.begin(tmp_path, jobs[2].run, {})
    files.write_json(old / "progress.json", {**live, "updated": time.time() - 1000})
    run_folder.fail(run_folder.path_of(tmp_path, ids[3]), ids[3], "diverged", "The loss was not finite.")
    return tmp_path, jobs


def test_states(results):
    folder, jobs = results
    found = [run_state.read_state(folder, job.run.run_id) for job in jobs]
    assert [one.state for one in found] == ["done", "running", "stopped", "diverged", "planned"]
    assert found[1].reason == "epoch 1 of 2" and found[3].reason == "The loss was not finite."
    assert found[0].result.error == 0.25


@pytest.mark.parametrize("spoilt", ["run_id", "status", "error", "test_images", "half"])
def test_a_result_that_cannot_be_believed_is_not_done(results, spoilt):
    folder, jobs = results
    run_id = jobs[0].run.run_id
    path = run_folder.path_of(folder, run_id) / "result.json"
    text = path.read_text()
    path.write_text(text[: len(text) // 2] if spoilt == "half" else json.dumps({**json.loads(text), spoilt: None}))
    found = run_state.read_state(folder, run_id)
    assert found.state == "damaged" and run_id in found.reason and "not done" in found.reason


def shown(folder, monkeypatch, capsys, *options):
    monkeypatch.setattr(sys, "argv", ["status", "--results", str(folder), *options])
    status.main()
    return capsys.readouterr().out


def test_the_table_counts_every_seed(results, monkeypatch, capsys):
    folder, _ = results
    monkeypatch.setenv("COLUMNS", "160")
    said = shown(folder, monkeypatch, capsys)
    assert "groups, preset p" in said and "1 of 5" in said and "25.00" in said and "1/2" in said
    assert "1 running, 1 stopped, 1 diverged, 1 planned" in said
    assert "1 of 5 runs done, 1 running, 1 stopped, 1 diverged, 1 planned; about" in said and "1 at a time" in said
    assert "g1 0.25x seed 3  diverged: The loss was not finite." in said


def test_the_table_fits_80_columns_and_names_stay_whole(tmp_path, monkeypatch, capsys):
    grid = [(8, 0.25, False), (3, 0.5, False), (8, 1.0, True)]
    runs = [run(groups=g, width=w, shuffle=s, seed=seed) for g, w, s in grid for seed in range(3)]
    write_plans([Planned(one, Config(study="shuffle", preset="cifar10"), ()) for one in runs], tmp_path, "command")
    for one in runs[::3]:
        live = {"epoch": 12, "epochs": 240, "step": 90, "steps": 2000, "images_per_second": 1.0}
        run_folder.write_progress(run_folder.begin(tmp_path, one, {}), **live)
    monkeypatch.setenv("COLUMNS", "80")
    said = shown(tmp_path, monkeypatch, capsys)
    lines = said.splitlines()
    assert max(map(len, lines[1:])) <= 80
    (line,) = [line for line in lines if "g8 0.25x no shuffle" in line]
    assert "0 of 3" in line and "1 running, 2 planned" in line and "12/240" in line


def test_cells_of_own_networks_and_recipes_are_told_apart(tmp_path, monkeypatch, capsys):
    """A long name wraps: cut, two cells looked alike, and the columns beside them had no room."""
    axes = {f"axis_{k}": 1 for k in range(9)}
    own = [replace(run(), variant=Variant("mine.net", Axes({**axes, "last": last}))) for last in ("ab", "cd")]
    smooth = [run(recipe={"label_smoothing": value}) for value in (0.1, 0.2)]
    jobs = [Planned(one, Config(study="own"), ()) for one in own]
    write_plans(jobs, tmp_path, "command")
    plans.write_plans([plans.PlannedRun("smooth", "p", one, "0" * 16) for one in smooth], tmp_path, "command")
    monkeypatch.setenv("COLUMNS", "80")
    said = shown(tmp_path, monkeypatch, capsys)
    assert all(text in said for text in ("last=ab", "last=cd", "g1 0.25x, label smoothing 0.1", "smoothing 0.2"))
    assert said.count("0 of 1") == 4
    with Live(jobs_of([*jobs, *(Planned(one, Config(), ()) for one in smooth)], tmp_path), "plain") as live:
        live.update(["failed"] * 4, [""] * 4)
    assert "g1 0.25x, label smoothing 0.2 seed 0  failed" in capsys.readouterr().out.replace("\n", " ")


def test_tables_of_protocols_that_look_alike_say_what_differs(results, monkeypatch, capsys):
    folder, jobs = results
    assert "label smoothing" not in shown(folder, monkeypatch, capsys)
    first = jobs[0].run.protocol
    other = replace(first, recipe=replace(first.recipe, label_smoothing=first.recipe.label_smoothing + 0.1))
    mine = replace(jobs[0].run, protocol=other)
    write_plans([Planned(mine, Config(study="shuffle", preset="p"), ())], folder, "command")
    run_folder.fail(run_folder.begin(folder, mine, {}), mine.run_id, "failed", "out of memory")
    text = " ".join(shown(folder, monkeypatch, capsys).split())
    apart = [f"label smoothing {one.recipe.label_smoothing:g}" for one in (first, other)]
    assert f"groups, preset p (protocol {jobs[0].run.protocol_id}): {apart[0]}" in text
    assert f"shuffle, preset p (protocol {mine.protocol_id}): {apart[1]}" in text
    assert f"{apart[1]} seed 0 failed: out of memory" in text


def test_a_run_that_no_plan_names_is_shown_and_not_waited_for(results, monkeypatch, capsys):
    """A sweep of two runs after one of five: the three that are left, and a single run, have tables of their own."""
    folder, jobs = results
    write_plans([jobs[0], jobs[4]], folder, "command")
    run_folder.write_progress(run_folder.begin(folder, run(seed=7, recipe={"epochs": 9}), {}), epoch=1, epochs=9)
    (folder / "runs" / "notes").mkdir()
    said = shown(folder, monkeypatch, capsys)
    assert said.startswith("1 of 2 runs done, 1 planned;")
    planned, before, single = said.split("(protocol ")[1:]
    assert "1 of 2" in planned and "1 running, 1 stopped" in before and "in no plan" in planned and "1/9" in single


def test_a_single_run_needs_no_plan(results, monkeypatch, capsys):
    folder, _ = results
    for path in (folder / "plans").iterdir():
        path.unlink()
    said = shown(folder, monkeypatch, capsys)
    assert said.startswith("1 of 3 runs done, 1 running, 1 stopped; about") and "in no plan (protocol" in said


def test_before_a_seed_is_done_the_error_is_that_of_the_latest_evaluation(results, monkeypatch, capsys):
    folder, jobs = results
    rows = [{"epoch": k, "test_error": error} for k, error in ((1, 0.75), (2, 0.5), (3, None))]
    run_folder.write_metrics(run_folder.path_of(folder, jobs[1].run.run_id), rows)
    assert "(50.00)" not in shown(folder, monkeypatch, capsys)
    (run_folder.path_of(folder, jobs[0].run.run_id) / "result.json").unlink()
    assert "(50.00)" in shown(folder, monkeypatch, capsys)


def test_nothing_running_gives_no_time_of_arrival(results, monkeypatch, capsys):
    folder, jobs = results
    (run_folder.path_of(folder, jobs[1].run.run_id) / "progress.json").unlink()
    said = shown(folder, monkeypatch, capsys)
    assert "nothing is running, about" in said and "at a time" not in said


def test_status_starts_without_torch_and_pandas(results):
    folder, _ = results
    code = (
        f"import sys; sys.argv = ['status', '--results', {str(folder)!r}];"
        "from ablations.status import main; main();"
        "sys.exit(bool({'torch', 'pandas', 'matplotlib', 'hydra'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, env=environment(), capture_output=True)


def state(name, seconds=None, **progress):
    """A state; `seconds` is how long a finished run took."""
    result = {"run_id": "0" * 16, "status": "done", "schema": 1, "error": 0.1, "seconds": {"total": seconds}}
    now = {"epoch": 1, "epochs": 1, "updated": 0, **progress}
    return RunStatus(
        name, None, Result.model_validate(result) if seconds else None, Progress(**now) if progress else None
    )


def test_running_runs_end_by_their_speed_and_waiting_ones_follow():
    """Two workers; 8 steps of 16 images. A run that is done tells what the waiting ones will take."""
    done, fast, slow, first, second = (run(seed=seed) for seed in range(5))
    live = {"steps": 8, "step": 4}
    known = [
        (done, state("done", seconds=20.0)),
        (fast, state("running", **live, images_per_second=16.0)),  # 4 s left
        (slow, state("running", **live, images_per_second=4.0)),  # 16 s left
        (second, state("planned")),
        (first, state("stopped", **live)),  # half of it is done: 10 s
    ]
    times = forecast(known)
    assert times.at_once == 2
    assert times.ends[fast.run_id] == pytest.approx(4) and times.ends[slow.run_id] == pytest.approx(16)
    assert times.ends[first.run_id] == pytest.approx(14), "starts when the fast one ends"
    assert times.ends[second.run_id] == pytest.approx(34) == pytest.approx(times.total)
    assert done.run_id not in times.ends


def test_waiting_runs_cost_what_the_plan_says_relative_to_those_that_are_done():
    small, large = run(groups=1), run(groups=8, width=1.0)
    times = forecast([(small, state("done", seconds=3.0)), (large, state("planned"))])
    assert times.total == pytest.approx(3.0 * relative_cost(large) / relative_cost(small))
    assert times.at_once == 0


def test_before_anything_is_done_speed_tells_what_waiting_runs_take():
    one, other = run(seed=0), run(seed=1)
    times = forecast([(one, state("running", steps=8, step=0, images_per_second=4.0)), (other, state("planned"))])
    assert times.ends[other.run_id] == pytest.approx(64)


def test_a_protocol_of_which_nothing_runs_is_not_under_way():
    here, there = run(seed=0), run(seed=0, recipe={"epochs": 1000})
    times = forecast([(here, state("running", steps=8, step=0, images_per_second=8.0)), (there, state("planned"))])
    assert there.run_id not in times.ends and times.total == pytest.approx(16)
    failed = forecast([(here, state("failed"))])
    assert failed.ends == {} and failed.total == 0


def test_progress_that_says_little_is_no_error():
    one = run()
    assert forecast([(one, state("running", epoch=3, epochs=8))]).ends[one.run_id] == pytest.approx(relative_cost(one))
    assert forecast([]).total == 0


def test_watching_on_a_terminal_refreshes_and_ends_when_every_run_is_done(tmp_path):
    one = run()
    write_plans([Planned(one, Config(study="groups", preset="p"), ())], tmp_path, "command")
    folder = run_folder.begin(tmp_path, one, {})
    live = {"epoch": 1, "epochs": 2, "step": 3, "steps": 8, "images_per_second": 50.0}
    run_folder.write_progress(folder, **live)
    ours, theirs = pty.openpty()
    viewer = subprocess.Popen(
        [sys.executable, "-m", "ablations.status", "--results", str(tmp_path), "--watch", "0.1"],
        cwd=ROOT,
        env={**environment(), "COLUMNS": "80", "LINES": "24", "TERM": "xterm"},
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    seen = b""
    try:
        while b"1/2" not in seen:
            seen += os.read(ours, 4096)
        run_folder.write_progress(folder, **{**live, "epoch": 2})
        while b"2/2" not in seen:
            seen += os.read(ours, 4096)
        run_folder.write_metrics(folder, [])
        result = {"run_id": one.run_id, "error": 0.25, "test_images": 8, "seconds": {"total": 3.0}}
        run_folder.finish(folder, result, np.ones(8, bool))
        try:
            while part := os.read(ours, 4096):
                seen += part
        except OSError:
            pass  # the other end is closed: so Linux says it
        assert viewer.wait(timeout=30) == 0
    finally:
        viewer.kill()
        os.close(ours)
    assert b"1 of 1 run done" in seen and b"25.00" in seen and b"Traceback" not in seen


def test_a_pipe_that_closes_early_is_no_error(results):
    folder, _ = results
    command = f"{sys.executable} -m ablations.status --results {folder} --watch 0.01 | head -1"
    done = subprocess.run(command, shell=True, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("1 of 5 runs done") and done.stderr == ""


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
        running = {1: run_folder.progress(folder, planned[1].run.run_id)}
        live.console.print(live._view(["done", "running", "waiting", "waiting", "waiting"], running))
    text = shown.get()
    assert "1 of 5 runs ended" in text and "1.000" in text and "2 s" in text


def test_the_outcome_names_what_is_not_done(results, capsys):
    folder, planned = results
    plan = make_plan(planned, folder)
    messages.show_outcome(plan, plan.todo, folder)
    said = capsys.readouterr().out
    assert "1 of 5 runs done" in said and "diverged: The loss was not finite." in said and "not run" in said


def test_what_an_error_says_is_shown_to_the_letter(results, capsys):
    """Brackets in a message are not markup; a closing tag that opens nothing would end the sweep."""
    folder, planned = results
    run_id = planned[4].run.run_id
    run_folder.fail(run_folder.path_of(folder, run_id), run_id, "failed", "KeyError: '[/x]' in [red]list[/red]")
    messages.show_outcome(make_plan(planned, folder), [planned[4]], folder)
    with Live(jobs_of(planned, folder), "plain") as live:
        live.update(["done", "waiting", "waiting", "waiting", "failed"], [""] * 5)
    assert capsys.readouterr().out.count("KeyError: '[/x]' in [red]list[/red]") == 2


def test_durations():
    assert [console.duration(s) for s in (5, 89, 600, 7260)] == ["5 s", "89 s", "10 min", "2 h 1 min"]
