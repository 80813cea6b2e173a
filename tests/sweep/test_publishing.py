"""The step after training: costs measured beside it, tables written after it, mistakes said and not raised."""

import io
import shutil

import pytest
from rich.console import Console

from ablations.core import files
from ablations.sweep import publishing
from ablations.sweep.publishing import publish, publishing_ahead, standby, verdict_lines
from analysis import publish as analysis_publish
from analysis.publish import publish as publish_here
from analysis.runs import macs
from tests import results_fixture as fixture
from tests.results_fixture import cheap_costs, grid, write_done, write_plan


def finished_study(results):
    """One cell of each group count at 0.25x, one seed."""
    runs = grid("groups", [0], widths=[0.25])
    write_plan(results, "groups", runs)
    for one in runs:
        write_done(results, one, 0.3)


def test_nothing_to_publish_is_a_sentence(tmp_path, capsys):
    assert publish(tmp_path) is False
    assert "There are no results" in capsys.readouterr().err


def test_publishing_ahead_leaves_less_to_do(tmp_path, capsys, monkeypatch):
    finished_study(tmp_path)
    monkeypatch.setattr(macs, "_measure", cheap_costs)  # real networks take half a minute here
    publish_here(tmp_path)
    assert publish(tmp_path)
    said = capsys.readouterr().out
    assert f"Report: {tmp_path / 'report.html'}" in said and (tmp_path / "report.html").is_file()
    assert "Tables and figures" in said and files.read_json(tmp_path / "complexity.json")["costs"]
    table = tmp_path / "tables" / "table2.csv"
    before = table.read_text()
    table.unlink()
    with publishing_ahead(tmp_path):
        pass
    assert table.read_text() == before


@pytest.mark.parametrize(("swept", "epochs"), [(False, 20), (True, 8)])
def test_of_several_protocols_the_files_of_the_one_swept_are_named_else_of_the_last(
    swept, epochs, tmp_path, monkeypatch
):
    """Each has a folder: the files at the top are those of the first."""
    monkeypatch.setattr(macs, "_measure", cheap_costs)
    monkeypatch.setattr(analysis_publish, "_draw", lambda *_: {})
    finished_study(tmp_path)
    publish_here(tmp_path)
    first = grid("groups", [0], widths=[0.25])[0].protocol_id
    later = grid("groups", [0], fixture.protocol(epochs=20), widths=[0.25])
    write_plan(tmp_path, "groups", later, day=2)
    write_done(tmp_path, later[0], 0.2)
    publish_here(tmp_path)
    shown = []
    monkeypatch.setattr(publishing, "console", lambda: Console(file=io.StringIO(), force_terminal=True, width=100))
    monkeypatch.setattr(publishing, "terminal_tables", lambda text, width: shown.append(text) or [])
    said = []
    monkeypatch.setattr(Console, "print", lambda self, *words, **how: said.extend(map(str, words)))
    assert publish(tmp_path, scope=first if swept else "")
    name = f"glyphs-{epochs}ep-{(first if swept else later[0].protocol_id)[:4]}"
    assert f"Tables and figures: {tmp_path}/figures/{name}, {tmp_path}/tables/{name}" in said
    assert shown and all(f" {epochs} epochs" in text and f" {28 - epochs} epochs" not in text for text in shown)


def test_the_table_of_any_study_is_shown_on_a_terminal_and_that_of_claims_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(macs, "_measure", cheap_costs)
    monkeypatch.setattr(analysis_publish, "_draw", lambda *_: {})
    runs = grid("groups", [0], widths=[0.25])
    write_plan(tmp_path, "waves", runs)
    for one in runs:
        write_done(tmp_path, one, 0.3)
    publish_here(tmp_path)
    shown = io.StringIO()
    monkeypatch.setattr(publishing, "console", lambda: Console(file=shown, force_terminal=True, width=120))
    assert publish(tmp_path)
    assert "waves: glyphs" in shown.getvalue() and "g=8" in shown.getvalue()
    assert "Claims of" not in shown.getvalue() and "Complexity" not in shown.getvalue()


def test_tables_that_cannot_be_written_are_a_sentence(tmp_path, capsys, monkeypatch):
    finished_study(tmp_path)
    monkeypatch.setattr(macs, "_measure", cheap_costs)
    publish_here(tmp_path)
    shutil.rmtree(tmp_path / "tables")
    (tmp_path / "tables").write_text("a file in the folder's place")
    assert publish(tmp_path) is False
    assert f"error: Tables and figures cannot be written to {tmp_path}" in capsys.readouterr().err


def test_a_process_in_waiting_publishes_what_is_there_when_it_is_asked(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(macs, "_measure", cheap_costs)
    with standby() as process:
        finished_study(tmp_path)
        publish_here(tmp_path)
        assert publish(tmp_path, process) and process.returncode == 0
    assert "Report: " in capsys.readouterr().out


def test_an_analysis_that_breaks_is_a_sentence(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(publishing, "ROOT", tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    (tmp_path / "analysis.py").write_text("raise ZeroDivisionError('by 0')")
    assert publish(tmp_path) is False
    said = capsys.readouterr().err
    assert "could not be written (ZeroDivisionError: by 0): make tables" in said and "Traceback" not in said


def test_what_publishes_ahead_does_not_outlive_a_sweep_that_is_stopped(tmp_path):
    finished_study(tmp_path)
    try:
        with publishing_ahead(tmp_path):
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert not (tmp_path / "complexity.json").exists()


def test_verdicts_are_told_in_short():
    claims = [
        {"protocol_id": "a", "verdict": "supported", "says": "Groups [help]."},
        {"protocol_id": "a", "verdict": "inconclusive", "says": "Shuffle helps.", "size": "smaller"},
        {"protocol_id": "a", "verdict": "inconclusive", "says": "Order is kept.", "size": "not told apart"},
        {"protocol_id": "a", "verdict": "not tested", "says": "Wide ones gain."},
        {"protocol_id": "b", "verdict": "contradicted", "says": "Another protocol."},
    ]
    lines = verdict_lines({"claims": claims}, "a")
    assert lines == [
        "Claims: 1 supported; 2 open, 1 of them surely smaller than in the paper; 1 not tested.",
        "  supported     Groups [help].",
    ]
    assert verdict_lines({}, "") == []
