"""One row per known run, in the state that its files show."""

import json
import shutil
import time
from pathlib import Path

import pandas as pd
import pytest

from analysis.explain.commands import main
from analysis.runs import frame, macs
from analysis.studies import assemble
from tests import results_fixture as fixture


def states(results: Path) -> dict[str, str]:
    table = frame.runs(results)
    return dict(zip(table["run_id"], table["state"], strict=True))


def test_every_state_has_its_row(tmp_path: Path) -> None:
    runs = [fixture.run(g, 0.25, seed=seed) for g in (1, 2, 3, 4, 8) for seed in (0, 1)]
    fixture.write_plan(tmp_path, "groups", runs)
    done, failed, diverged, killed, cut, other, running, stopped, begun, planned = runs
    fixture.write_done(tmp_path, done, 0.25)
    for one, status in ((failed, "failed"), (diverged, "diverged"), (killed, "killed")):
        fixture.write_failure(tmp_path, one, status, f"it {status}")
    whole = fixture.write_done(tmp_path, cut, 0.3).read_text()
    (tmp_path / "runs" / cut.run_id / "result.json").write_text(whole[:40])
    fixture.write_done(tmp_path, other, 0.3)
    shutil.copy(tmp_path / "runs" / done.run_id / "result.json", tmp_path / "runs" / other.run_id / "result.json")
    fixture.write_progress(tmp_path, running, time.time())
    fixture.write_progress(tmp_path, stopped, time.time() - 1000)
    fixture.begin(tmp_path, begun)
    words = ["done", "failed", "diverged", "killed", "damaged", "damaged", "running", "stopped", "planned", "planned"]
    assert states(tmp_path) == dict(zip((one.run_id for one in runs), words, strict=True))
    assert planned.run_id in states(tmp_path)
    table = frame.runs(tmp_path).set_index("run_id")
    assert table.loc[diverged.run_id, "reason"] == "it diverged"
    assert "cut short" in table.loc[cut.run_id, "reason"] and pd.isna(table.loc[cut.run_id, "error"])


def test_a_done_run_fills_its_row(tmp_path: Path) -> None:
    one = fixture.run(8, 0.5, shuffle=False, seed=4, under=fixture.protocol(epochs=5, test_images=40))
    fixture.write_done(tmp_path, one, 0.25)
    table = frame.runs(tmp_path)
    row = table.iloc[0]
    assert list(table.columns) == list(frame.COLUMNS)
    assert (row["groups"], row["width"], row["shuffle"], row["seed"], row["epochs"]) == (8, 0.5, False, 4, 5)
    assert (row["error"], row["tested"], row["seconds"], row["device_type"]) == (0.25, 40, 13.0, "cpu")
    assert (row["cell_id"], row["protocol_id"], row["preset"]) == (one.cell_id, one.protocol_id, "quick")
    assert row["planned_by"] == "" and pd.isna(row["written"])


def test_a_run_of_two_studies_has_one_row(tmp_path: Path) -> None:
    shared = fixture.run(3, 0.25)
    for study in ("groups", "shuffle"):
        fixture.write_plan(tmp_path, study, [shared])
    fixture.write_done(tmp_path, shared, 0.3)
    assert frame.runs(tmp_path)["planned_by"].tolist() == ["groups,shuffle"]


def test_validation_images_count_where_they_are_evaluated(tmp_path: Path) -> None:
    fixture.begin(tmp_path, fixture.run(3, 0.25, under=fixture.protocol(evaluate="val", val_images=123)))
    assert frame.runs(tmp_path)["test_images"].tolist() == [123]


def test_a_folder_that_says_nothing_is_shown_as_damaged(tmp_path: Path) -> None:
    for name, text in (("a" * 16, "{"), ("b" * 16, '{"run_id": "b"}')):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "run.json").write_text(text)
    (tmp_path / "runs" / ".probe-1").mkdir()
    assert set(states(tmp_path).values()) == {"damaged"} and len(states(tmp_path)) == 2
    assert all("run.json cannot be read" in reason for reason in frame.runs(tmp_path)["reason"])


def test_a_description_of_other_types_is_damaged(tmp_path: Path) -> None:
    for change in ({"variant": []}, {"seed": "x"}, {"protocol": 3}, {"variant": {"groups": []}}):
        one = fixture.run(3, 0.25)
        folder = fixture.begin(tmp_path, one)
        text = json.loads((folder / "run.json").read_text())
        spoilt = {**text, **{k: {**text[k], **v} if isinstance(v, dict) else v for k, v in change.items()}}
        (folder / "run.json").write_text(json.dumps(spoilt))
        (folder / "provenance.json").write_text(json.dumps({"commit": [], "device": {}, "preset": 3}))
        assert states(tmp_path) == {one.run_id: "damaged"}, change


def test_a_damaged_plan_is_left_out(tmp_path: Path) -> None:
    path = fixture.write_plan(tmp_path, "groups", [fixture.run(3, 0.25)])
    path.write_text(path.read_text()[:-30])
    assert frame.runs(tmp_path).empty


OUTSIZE = [
    *(("seed", value) for value in (2**63, -(2**64), 10**400)),
    *(("variant.groups", value) for value in (0, 5, 10**30)),
    *(("variant.width", value) for value in (0.0, 1e308, float("inf"), float("nan"))),
    *(("variant.stem_channels", value) for value in (0, 2**63)),
    *((f"protocol.data.{key}", value) for key in ("classes", "train_images", "test_images") for value in (0, 10**20)),
    *((f"protocol.{key}", 10**20) for key in ("resolution", "recipe.epochs", "recipe.batch_size")),
    *(("result.test_images", value) for value in (0, -5, 2**64)),
    ("result.loss", float("inf")),
]


@pytest.mark.parametrize("planned", [False, True])
@pytest.mark.parametrize(("key", "value"), OUTSIZE)
def test_a_run_with_numbers_that_no_table_holds_is_set_aside_and_the_rest_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: float, planned: bool
) -> None:
    monkeypatch.setattr(macs, "_measure", fixture.cheap_costs)
    good = [fixture.run(g, 0.25, seed=seed) for g in (3, 8) for seed in (0, 1)]
    for one in good:
        fixture.write_done(tmp_path, one, 0.3 + one.seed / 100)
    bad = fixture.run(3, 0.25, seed=2)
    fixture.write_done(tmp_path, bad, 0.4)
    plan = fixture.write_plan(tmp_path, "groups", [bad], day=2)
    whole = not key.startswith("result.")
    _change(tmp_path / "runs" / bad.run_id / f"{'run' if whole else 'result'}.json", key.removeprefix("result."), value)
    if whole and planned:
        _change(plan, key, value, entry=not key.startswith("protocol."))
    else:
        plan.unlink()
    table = frame.runs(tmp_path).set_index("run_id")
    assert table.loc[bad.run_id, "state"] == "damaged" and len(table) == 5
    reason = table.loc[bad.run_id, "reason"]
    assert bad.run_id in reason and not reason.endswith("..")
    assert key.rpartition(".")[2].replace("_", " ") in reason.replace("_", " ")
    assert not whole or pd.isna(table.loc[bad.run_id, "structure"])
    for study in ("groups", "shuffle"):
        section = assemble.sections(study, frame.runs(tmp_path), tmp_path)[0]
        cells = section.cells.query("width == 0.25 and shuffle").set_index("groups")
        assert cells.loc[[3, 8], "error_mean"].tolist() == [30.5, 30.5]
        assert any(bad.run_id in note for note in section.notes)
    assert main(["table2", "--groups", "3", "--width", "0.25", "--results", str(tmp_path)]) == 0


def _change(path: Path, key: str, value: object, entry: bool = False) -> None:
    """Set a value, by its dotted key, in a JSON file, or in the first run of a plan."""
    content = json.loads(path.read_text())
    place = content["runs"][0] if entry else content
    *parts, last = key.split(".")
    for part in parts:
        place = place[part]
    place[last] = value
    path.write_text(json.dumps(content))
