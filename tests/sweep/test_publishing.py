"""The step after training: costs measured beside it, tables written after it, mistakes said and not raised."""

from ablations.core import files
from ablations.sweep.publishing import publish, publishing_ahead, verdict_lines
from analysis.runs import macs
from tests.results_fixture import cheap_costs, grid, write_done, write_plan


def finished_study(results):
    """One cell of each group count at 0.25x, one seed."""
    runs = grid("groups", [0], widths=[0.25])
    write_plan(results, "groups", runs)
    for one in runs:
        write_done(results, one, 0.3)


def test_nothing_to_publish_is_a_sentence(tmp_path, capsys):
    publish(tmp_path)
    assert "There are no results" in capsys.readouterr().err


def test_publishing_ahead_leaves_less_to_do(tmp_path, capsys, monkeypatch):
    finished_study(tmp_path)
    monkeypatch.setattr(macs, "_measure", cheap_costs)  # real networks take half a minute here
    publish(tmp_path)
    said = capsys.readouterr().out
    assert f"Report: {tmp_path / 'report.html'}" in said and (tmp_path / "report.html").is_file()
    assert "Tables and figures" in said and files.read_json(tmp_path / "complexity.json")["costs"]
    table = tmp_path / "tables" / "table2.csv"
    before = table.read_text()
    table.unlink()
    with publishing_ahead(tmp_path):
        pass
    assert table.read_text() == before


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
        {"protocol_id": "a", "verdict": "inconclusive", "says": "Shuffle helps."},
        {"protocol_id": "a", "verdict": "inconclusive", "says": "Order is kept."},
        {"protocol_id": "b", "verdict": "contradicted", "says": "Another protocol."},
    ]
    lines = verdict_lines({"claims": claims})
    assert lines == ["Claims: 2 inconclusive, 1 supported.", "  supported     Groups [help]."]
    assert verdict_lines({}) == []
