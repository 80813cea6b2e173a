"""Runs of another machine come in whole or not at all; nothing here is overwritten, nothing there is touched."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ablations.core.errors import UserError
from ablations.core.paths import ROOT
from ablations.core.run_spec import SCHEMA, Run
from ablations.store import lease, merge, run_folder
from ablations.store.looks import Look, SeedPlan, read_looks, write_looks
from ablations.store.manifest import describe, seal
from ablations.store.merge import main
from ablations.store.plans import read_plans
from tests import results_fixture as fixture
from tests.make import run

RUNS = [run(seed=seed) for seed in range(3)]


def finish(results: Path, one: Run, error: float = 0.25, weights: str = "a", seconds: float = 1.0) -> Path:
    """A finished run with every file that a run has."""
    results.mkdir(exist_ok=True)
    folder = run_folder.begin(results, one, {"commit": None})
    run_folder.write_metrics(folder, [{"epoch": 1, "train_loss": 0.5}])
    (folder / "checkpoint.pt").write_bytes(weights.encode() * 1000)
    (folder / "log.txt").write_text("one line\n")
    result = {"error": error, "loss": 1.0, "weights_sha256": weights, "seconds": {"total": seconds}}
    right = np.arange(40) >= round(40 * error)
    run_folder.finish(folder, {"run_id": one.run_id, "test_images": 40, **result}, right)
    return folder


def content(folder: Path) -> dict[str, bytes]:
    """All files under a folder, with what is in them."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """Another folder with three finished runs and their plan, and one here, not made yet."""
    there, here = tmp_path / "there", tmp_path / "here"
    for one in RUNS:
        finish(there, one)
    fixture.write_plan(there, "groups", RUNS)
    return there, here


def test_runs_and_plans_come_in_and_nothing_changes_there(places, capsys):
    there, here = places
    before = content(there)
    assert main([str(there), "--results", str(here)]) == 0
    said = capsys.readouterr().out
    assert "runs: 3 brought in\n" in said and "plans: 1 brought in\n" in said
    assert content(there) == before
    assert {k: v for k, v in content(here).items() if k.startswith("runs/")} == {
        k: v for k, v in before.items() if k.startswith("runs/")
    }
    assert all(run_folder.result(here, one.run_id) for one in RUNS)
    assert [len(plan.runs) for plan in read_plans(here)] == [3]
    assert list((here / "leases").iterdir()) == []


def test_a_second_time_there_is_nothing_to_do(places, capsys):
    there, here = places
    main([str(there), "--results", str(here)])
    before = content(here)
    assert main([str(there), "--results", str(here)]) == 0
    assert "runs: 3 already here\n" in capsys.readouterr().out and content(here) == before


def test_a_dry_run_says_the_same_and_writes_nothing(places, capsys):
    there, here = places
    (there / "runs" / RUNS[0].run_id / "log.txt").unlink()
    before = content(there)
    assert main([str(there), "--results", str(here), "--dry-run"]) == 1
    said = capsys.readouterr().out
    assert "runs: 2 brought in, 1 damaged there\n" in said and "Nothing was written" in said
    assert not here.exists() and content(there) == before


@pytest.mark.parametrize("name", ["run.json", "provenance.json", "metrics.csv", "correct.npy", "checkpoint.pt"])
def test_a_damaged_run_stays_out_and_is_named(places, capsys, name):
    there, here = places
    path = there / "runs" / RUNS[1].run_id / name
    stat = path.stat()
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    shutil.os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # only reading it shows it
    assert main([str(there), "--results", str(here)]) == 1
    said = capsys.readouterr().out
    assert "runs: 2 brought in, 1 damaged there" in said and f"{RUNS[1].run_id}/{name} was altered" in said
    assert not (here / "runs" / RUNS[1].run_id).exists()


def test_a_run_under_anothers_name_stays_out(places, capsys):
    """A whole folder that is copied to the name of another run describes the wrong run."""
    there, here = places
    mine, other = (there / "runs" / one.run_id for one in RUNS[:2])
    shutil.rmtree(other)
    shutil.copytree(mine, other)
    result = json.loads((other / "result.json").read_text())
    del result["sha256"]
    (other / "result.json").write_text(json.dumps(seal({**result, "run_id": RUNS[1].run_id})))
    assert main([str(there), "--results", str(here)]) == 1
    assert "run.json does not describe this run" in capsys.readouterr().out


def test_a_newer_schema_stays_out(places, capsys):
    there, here = places
    path = there / "runs" / RUNS[2].run_id / "result.json"
    result = json.loads(path.read_text())
    del result["sha256"]
    path.write_text(json.dumps(seal({**result, "schema": SCHEMA + 1})))
    plan = next((there / "plans").iterdir())
    plan.write_text(json.dumps({**json.loads(plan.read_text()), "schema": SCHEMA + 1}))
    assert main([str(there), "--results", str(here)]) == 1
    said = capsys.readouterr().out
    assert "runs: 2 brought in, 1 by a newer version" in said and "plans: 1 by a newer version" in said
    assert read_plans(here) == []


def test_what_is_not_finished_there_stays_there(places, capsys):
    there, here = places
    (there / "runs" / RUNS[0].run_id / "result.json").unlink()
    assert main([str(there), "--results", str(here)]) == 0
    assert "runs: 2 brought in, 1 not finished there" in capsys.readouterr().out


def test_a_conflict_is_named_and_both_are_left(places, capsys):
    there, here = places
    finish(here, RUNS[1], error=0.5, weights="b")
    before = content(here)
    assert main([str(there), "--results", str(here)]) == 1
    said = capsys.readouterr().out
    assert "2 brought in, 1 in conflict" in said
    assert f"runs/{RUNS[1].run_id} (g1 0.25x seed 1): error 50.00 % here, 25.00 % there" in said
    assert {k: v for k, v in content(here).items() if k in before} == before


@pytest.mark.parametrize(
    ("keep", "ended", "stays"),
    [("ours", 0, "ours"), ("theirs", 0, "theirs"), ("first", 100, "ours"), ("first", -100, "theirs")],
)
def test_a_conflict_can_be_settled_and_each_outcome_is_kept_whole(places, capsys, keep, ended, stays):
    """`ended`: how many seconds later than here the run ended there."""
    there, here = places
    mine, theirs = finish(here, RUNS[1], error=0.5, weights="b"), there / "runs" / RUNS[1].run_id
    for folder, minute in ((mine, 30), (theirs, 30 + ended // 60)):
        started = {"started": f"2026-01-01T12:{minute:02}:00+0000"}
        (folder / "provenance.json").write_text(json.dumps(started))
        _sealed_anew(folder)
    both = {"ours": content(mine), "theirs": content(theirs)}
    command = [str(there), "--results", str(here), "--keep", keep]
    assert main([*command, "--dry-run"]) == 0
    assert content(mine) == both["ours"] and len(list((here / "runs").iterdir())) == 1
    assert main(command) == 0
    said = capsys.readouterr().out
    assert f"1 {merge.OUTCOMES[stays]}" in said and f"{RUNS[1].run_id} (g1 0.25x seed 1): error 50.00 % here" in said
    ((name, reason),) = run_folder.aside(here).items()
    aside = content(here / "runs" / name)
    assert name == f"{RUNS[1].run_id}.other-1" and str(there) in reason and aside.pop("damage.json")
    assert [content(mine), aside] == [both[stays], both["theirs" if stays == "ours" else "ours"]]
    assert content(theirs) == both["theirs"]
    for again in (command, command[:3]):
        assert main(again) == 0 and "runs: 3 already here\n" in capsys.readouterr().out
    assert len(run_folder.aside(here)) == 1


def _sealed_anew(folder: Path) -> None:
    """result.json with the checksums of the files as they are now."""
    result = json.loads((folder / "result.json").read_text())
    (folder / "result.json").unlink()
    del result["sha256"]
    (folder / "result.json").write_text(json.dumps(seal({**result, "files": describe(folder)})))


def test_without_a_beginning_the_time_of_writing_says_which_was_first(places, capsys):
    there, here = places
    shutil.os.utime(finish(here, RUNS[1], error=0.5, weights="b") / "result.json", (1e9, 1e9))
    assert main([str(there), "--results", str(here), "--keep", "first"]) == 0
    assert run_folder.result(here, RUNS[1].run_id).error == 0.5


def test_the_same_run_trained_in_both_places_is_no_conflict(places, capsys):
    there, here = places
    finish(here, RUNS[1], seconds=99.0)
    assert main([str(there), "--results", str(here)]) == 0
    assert "2 brought in, 1 already here" in capsys.readouterr().out
    assert run_folder.result(here, RUNS[1].run_id).seconds.total == 99.0


def test_what_was_begun_here_gives_way_and_is_kept(places, capsys):
    there, here = places
    here.mkdir()
    folder = run_folder.begin(here, RUNS[0], {})
    (folder / "checkpoint.pt").write_bytes(b"half way")
    assert main([str(there), "--results", str(here)]) == 0
    assert run_folder.result(here, RUNS[0].run_id)
    aside, reason = run_folder.aside(here).popitem()
    assert (here / "runs" / aside / "checkpoint.pt").read_bytes() == b"half way" and str(there) in reason


def test_what_is_trained_here_now_is_left_to_its_trainer(places, capsys):
    there, here = places
    here.mkdir()
    with lease.held(here, RUNS[0].run_id) as mine:
        assert mine
        assert main([str(there), "--results", str(here)]) == 1
        mine.check()
    assert "2 brought in, 1 being trained here" in capsys.readouterr().out


@pytest.mark.parametrize("moment", ["copy2", "rmtree"])
def test_stopped_half_way_it_leaves_nothing_half_and_goes_on_later(places, capsys, monkeypatch, moment):
    there, here = places
    real, calls = getattr(shutil, moment), []

    def stops(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 10 or (moment == "rmtree" and len(calls) == 3):
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(merge.shutil, moment, stops)
    assert main([str(there), "--results", str(here)]) == 130
    assert "Stopped" in capsys.readouterr().err
    for folder in (here / "runs").iterdir():
        assert folder.name.startswith(".") or run_folder.result(here, folder.name)
    monkeypatch.undo()
    assert main([str(there), "--results", str(here)]) == 0
    assert len([folder for folder in (here / "runs").iterdir() if run_folder.result(here, folder.name)]) == 3
    assert not list((here / "runs").glob(".*"))


def test_a_run_that_changes_while_it_is_copied_stays_out(places, capsys, monkeypatch):
    there, here = places
    real = shutil.copy2

    def cuts(source: str, target: Path) -> None:
        real(source, target)
        if target.name == "checkpoint.pt" and RUNS[0].run_id in str(target):
            target.write_bytes(target.read_bytes()[:-1])

    monkeypatch.setattr(merge.shutil, "copy2", cuts)
    assert main([str(there), "--results", str(here)]) == 1
    said = capsys.readouterr().out
    assert "checkpoint.pt has 999 bytes instead of 1000 while it was copied" in said
    assert not (here / "runs" / RUNS[0].run_id).exists()


def test_links_out_of_the_folder_are_not_followed(places, tmp_path):
    there, here = places
    (tmp_path / "secret").write_text("secret")
    (there / "runs" / RUNS[0].run_id / "events.txt").symlink_to(tmp_path / "secret")
    assert main([str(there), "--results", str(here)]) == 0
    assert not (here / "runs" / RUNS[0].run_id / "events.txt").exists()


def test_plans_are_united(places, capsys):
    there, here = places
    mine = [run(seed=seed) for seed in (2, 3)]
    fixture.write_plan(here, "groups", mine)
    main([str(there), "--results", str(here)])
    plan = read_plans(here)[0]
    assert [entry.seed for entry in plan.runs] == [2, 3, 0, 1]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"study": "groups"}'])
def test_a_plan_that_makes_no_sense_stays_out(places, capsys, text):
    there, here = places
    next((there / "plans").iterdir()).write_text(text)
    assert main([str(there), "--results", str(here)]) == 1
    assert "is no plan that can be read" in capsys.readouterr().out
    assert read_plans(here) == []


def test_older_schemas_come_in(tmp_path):
    older = ROOT / "tests" / "golden" / "schema1"
    assert main([str(older), "--results", str(tmp_path / "here")]) == 0
    assert run_folder.result(tmp_path / "here", "f696cb762e36e7c0")


def test_wrong_folders_are_refused(places, tmp_path, capsys):
    there, here = places
    assert main([str(tmp_path), "--results", str(here)]) == 2
    assert "it has no runs/ in it" in capsys.readouterr().err
    assert main([str(there), "--results", str(there)]) == 2
    with pytest.raises(UserError, match="same folder"):
        merge.merge(there, there)
    (tmp_path / "file").touch()
    assert main([str(there), "--results", str(tmp_path / "file")]) == 2


def test_renamed_run_folders_are_named_with_their_run(places, capsys):
    there, here = places
    (there / "runs" / RUNS[0].run_id).rename(there / "runs" / "best")
    (there / "runs" / "notes").mkdir()
    (there / "runs" / f"{RUNS[1].run_id}.damaged-1").mkdir()  # set aside there: known, and not to be merged
    assert main([str(there), "--results", str(here)]) == 1
    said = capsys.readouterr().out
    assert "runs: 2 brought in, 2 passed over" in said
    assert f"{there}/runs/best: it is run {RUNS[0].run_id}" in said and "rename it" in said
    assert f"{there}/runs/notes: its name is not" in said and "damaged-1" not in said
    assert not (here / "runs" / "best").exists()


def test_nothing_to_merge_is_no_success(tmp_path, capsys):
    (tmp_path / "there" / "runs").mkdir(parents=True)
    assert main([str(tmp_path / "there"), "--results", str(tmp_path / "here")]) == 2
    assert "nothing to merge" in capsys.readouterr().err and not (tmp_path / "here").exists()


def test_a_poisoned_plan_stays_out_and_its_other_entries_are_kept_here(places, capsys):
    there, here = places
    path = next((there / "plans").iterdir())
    plan = json.loads(path.read_text())
    plan["runs"][0]["seed"] = 2**63
    path.write_text(json.dumps(plan))
    (found,) = read_plans(there)
    assert [entry.seed for entry in found.runs] == [1, 2]
    assert list(found.unreadable) == [RUNS[0].run_id] and "9223372036854775808" in found.unreadable[RUNS[0].run_id]
    assert main([str(there), "--results", str(here)]) == 1
    assert "is no plan that can be read" in capsys.readouterr().out


def look(hour: int, seeds: int, cell: str = "a", plan: SeedPlan | None = None, verdict: str = "inconclusive") -> Look:
    when = f"2026-01-01T{hour:02}:00:00+0000"
    mine = {cell: tuple(range(seeds))}
    return Look(study="groups", scope_id="s", when=when, seeds=mine, verdicts={"claim": verdict}, plan=plan)


def test_looks_come_along(places, capsys):
    there, here = places
    first, second = look(1, 2), look(2, 3)
    write_looks(there, [first, second])
    assert main([str(there), "--results", str(here), "--dry-run"]) == 0 and not (here / "looks.json").exists()
    assert main([str(there), "--results", str(here)]) == 0
    assert read_looks(here).taken == (first, second) and "looks: 1 brought in" in capsys.readouterr().out
    write_looks(here, [first])
    assert main([str(there), "--results", str(here)]) == 0 and read_looks(here).taken == (first, second)
    write_looks(there, [first])
    assert main([str(there), "--results", str(here)]) == 0 and read_looks(here).taken == (first, second)
    (there / "looks.json").write_text("{")
    assert main([str(there), "--results", str(here)]) == 1 and read_looks(here).taken == (first, second)


def test_of_folders_published_apart_every_reading_of_the_verdicts_counts_once_and_by_time(places, capsys):
    there, here = places
    here.mkdir()
    write_looks(here, [look(1, 2), look(5, 4)])
    write_looks(
        there, [look(2, 2), look(3, 3), look(6, 4, verdict="supported")]
    )  # the first: the same runs, read again
    for _ in range(2):
        assert main([str(there), "--results", str(here)]) == 0
        expected = (look(1, 2), look(3, 3), look(5, 4), look(6, 4, verdict="supported"))
        assert read_looks(here).taken == expected, capsys.readouterr().out


def test_looks_of_one_plan_go_on_where_those_here_end_and_never_contradict_each_other(places, capsys):
    there, here = places
    here.mkdir()
    plan = SeedPlan(2, 4)
    write_looks(here, [look(1, 2, plan=plan)])
    write_looks(there, [look(2, 2, plan=plan), look(3, 3, plan=plan)])
    assert main([str(there), "--results", str(here)]) == 0
    assert read_looks(here).taken == (look(1, 2, plan=plan), look(3, 3, plan=plan)), "the longer history"
    write_looks(there, [look(2, 2, plan=plan, verdict="supported")])
    before = (here / "looks.json").read_bytes()
    assert main([str(there), "--results", str(here)]) == 1 and (here / "looks.json").read_bytes() == before
    said = " ".join(capsys.readouterr().out.split())
    assert "of the same cells but with other verdicts" in said and f"Delete {here}/looks.json" in said.replace(
        "/ ", "/"
    )


def test_looks_of_one_plan_at_other_cells_wait_for_those_at_all_cells(places):
    there, here = places
    here.mkdir()
    write_looks(here, [look(1, 2, plan=SeedPlan(2, 4))])
    write_looks(there, [look(2, 2, "b", plan=SeedPlan(2, 4)), look(3, 3, "b")])
    assert main([str(there), "--results", str(here)]) == 0
    assert read_looks(here).taken == (look(1, 2, plan=SeedPlan(2, 4)), look(3, 3, "b")), "looks.take judges anew"
