"""Plans are deleted only when chosen and confirmed; runs stay, in their folders and in the tables."""

from pathlib import Path

import pytest

from ablations.store.forget import main
from ablations.store.plans import read_plans
from ablations.store.protocol_folders import ProtocolFolders, write_folders
from analysis.runs import frame
from analysis.runs import study as study_module
from analysis.runs.cell import AXES, Cell
from analysis.studies import selection
from tests import results_fixture as fixture

TYPO = fixture.protocol(epochs=800)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Both studies planned, a run of each done; and a plan of another protocol that never trained."""
    runs = {study: fixture.grid(study, (0,), widths=(0.25,)) for study in ("groups", "shuffle")}
    for study, some in runs.items():
        fixture.write_plan(tmp_path, study, some)
    fixture.write_done(tmp_path, runs["groups"][0], 0.3)
    fixture.write_done(tmp_path, runs["shuffle"][1], 0.4)  # without shuffle
    fixture.write_plan(tmp_path, "groups", fixture.grid("groups", (0,), TYPO, (0.25,)))
    return tmp_path


def files(results: Path) -> set[Path]:
    return {path for path in results.rglob("*") if path.is_file()}


@pytest.mark.parametrize("options", [[], ["--study", "groups"], ["--study", "groups", "--protocol", "0"]])
def test_without_yes_nothing_is_deleted(results, capsys, options):
    before = files(results)
    main(["--results", str(results), *options])
    assert files(results) == before
    assert main(["--results", str(results)]) == 0
    said = capsys.readouterr().out
    assert "of 5 runs 1 with a folder, which stay, 1 of them done" in said and "of 5 runs 0 with" in said


@pytest.mark.parametrize("by_name", [False, True])
def test_a_plan_that_never_trained_goes_and_only_it(results, by_name):
    (gone,) = {plan.protocol_id for plan in read_plans(results)} - {fixture.run(1, 0.25).protocol_id}
    kept = fixture.run(1, 0.25).protocol_id
    write_folders(results, ProtocolFolders({kept: "glyphs-8ep-ff3d", gone: "glyphs-800ep-0000"}))
    before = files(results)
    assert main(["--results", str(results), "--protocol", "800ep" if by_name else gone, "--yes"]) == 0
    assert before - files(results) == {results / "plans" / f"groups-{gone}.json"}
    assert gone not in set(frame.runs(results)["protocol_id"])


def test_finished_runs_of_deleted_plans_stay_in_a_table(results):
    for name in ("groups", "shuffle"):
        assert main(["--results", str(results), "--study", name, "--yes"]) == 0
    assert read_plans(results) == []
    rows = selection.known(frame.runs(results))
    assert rows["state"].tolist() == ["done", "done"]
    both = [study_module.study(name) for name in ("groups", "shuffle")]
    shown = [selection.keys(one, rows) for one in both if selection.shown(one, rows)]
    for row in rows.itertuples():
        key = Cell.of({axis: getattr(row, axis) for axis in AXES})
        assert any(key in keys for keys in shown)


def test_all_plans_at_once_must_be_chosen_and_a_wrong_name_lists_what_there_is(results, capsys):
    before = files(results)
    assert main(["--results", str(results), "--yes"]) == 1
    assert "Say which plans" in capsys.readouterr().err
    assert main(["--results", str(results), "--study", "grops", "--yes"]) == 1
    assert "there are: groups" in capsys.readouterr().err
    assert files(results) == before


def test_a_plan_that_names_another_folder_deletes_nothing_there(results, tmp_path):
    outside = tmp_path / "outside-x.json"
    outside.write_text("keep")
    path = fixture.write_plan(results, "groups", [fixture.run(3, 0.25)])
    path.write_text(path.read_text().replace('"study": "groups"', '"study": "../outside"'))
    assert main(["--results", str(results), "--study", "../outside", "--yes"]) == 0
    assert outside.read_text() == "keep" and not path.exists()
