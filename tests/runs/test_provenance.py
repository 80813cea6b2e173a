"""What stands behind a number: its runs, what they were trained with, and warnings where they differ."""

import json
from pathlib import Path
from typing import Any

import pytest

from analysis.report import drilldown
from analysis.report.drilldown import CellOrigin
from analysis.runs import frame, provenance
from analysis.studies import assemble
from tests import results_fixture as fixture

pytestmark = pytest.mark.usefixtures("made_up_costs")


def cells(results: Path, study: str = "groups") -> list[CellOrigin]:
    return drilldown.cells(results, assemble.sections(study, frame.runs(results), results))


def cell(results: Path, groups: int = 3, width: float = 0.25) -> CellOrigin:
    (found,) = [one for one in cells(results) if one.runs and (one.key["groups"], one.key["width"]) == (groups, width)]
    return found


def change(results: Path, run_id: str, **facts: Any) -> None:
    path = results / "runs" / run_id / "provenance.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))


def three_seeds(results: Path) -> list[str]:
    """Run ids of a cell with three seeds that agree in everything."""
    runs = [fixture.run(3, 0.25, seed=seed) for seed in range(3)]
    fixture.write_plan(results, "groups", runs)
    for one in runs:
        fixture.write_done(results, one, 0.3 + one.seed / 100)
    return [one.run_id for one in runs]


def test_a_cell_holds_what_the_table_shows_and_its_runs(tmp_path: Path) -> None:
    run_ids = three_seeds(tmp_path)
    found = cell(tmp_path)
    assert [run.run_id for run in found.runs] == run_ids and found.warnings == found.gaps == ()
    assert [run.error for run in found.runs] == pytest.approx([30, 31, 32])
    assert found.shown[0].text == "31.0 [28.5, 33.5]" and found.state == "3 of 3 seeds"
    assert "standard deviation 1.00 points" in found.shown[0].how and found.shown[0].paper == "55.0 (Table 2, g=3)"
    facts = found.runs[0].facts
    assert (facts["code"], facts["device"], facts["host"]) == ("commit cccccccccc, clean", "cpu: Test CPU", "test")
    assert found.runs[0].versions == {"python": "3.11.0", "torch": "2.15.0"}


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        (
            {"commit": "d" * 40},
            "code: commit cccccccccc, clean (seeds 0, 2); commit dddddddddd, clean (seed 1).",
        ),
        ({"device_type": "cuda"}, "differ in device type: cpu (seeds 0, 2); cuda (seed 1)."),
        (
            {"versions": {"python": "3.11.0", "torch": "2.16.0"}},
            "differ in torch version: 2.15.0 (seeds 0, 2); 2.16.0 (seed 1).",
        ),
        ({"dirty": True, "diff_sha256": "e" * 64}, "with uncommitted changes (diff eeeeeeeeee) (seed 1)"),
    ],
)
def test_runs_that_do_not_belong_together_are_told(tmp_path: Path, facts: dict[str, Any], sentence: str) -> None:
    change(tmp_path, three_seeds(tmp_path)[1], **facts)
    assert sentence in " ".join(cell(tmp_path).warnings)


def test_what_may_differ_is_no_warning(tmp_path: Path) -> None:
    change(tmp_path, three_seeds(tmp_path)[1], host="another", threads=8, device="cpu: Another CPU")
    assert cell(tmp_path).warnings == ()


def test_only_runs_that_count_are_warned_of(tmp_path: Path) -> None:
    run_ids = three_seeds(tmp_path)
    fixture.write_failure(tmp_path, fixture.run(3, 0.25, seed=1), "failed", "out of memory")
    (tmp_path / "runs" / run_ids[1] / "result.json").unlink()
    change(tmp_path, run_ids[1], commit="d" * 40)
    found = cell(tmp_path)
    assert found.warnings == () and found.gaps == ("Seed 1 failed: out of memory",)


def test_lost_provenance_is_told(tmp_path: Path) -> None:
    run_ids = three_seeds(tmp_path)
    (tmp_path / "runs" / run_ids[2] / "provenance.json").write_text("{")
    (tmp_path / "runs" / run_ids[1] / "provenance.json").write_text('{"commit": null, "versions": ["odd"]}')
    found = cell(tmp_path)
    assert "the origin is unknown: seed 2" in " ".join(found.warnings)
    assert found.runs[1].facts["code"].startswith("unknown commit") and found.runs[1].versions == {}


def test_uncommitted_changes_alone_are_a_warning(tmp_path: Path) -> None:
    for run_id in three_seeds(tmp_path):
        change(tmp_path, run_id, dirty=True, diff_sha256="e" * 64)
    (warning,) = cell(tmp_path).warnings
    assert warning.endswith("the commit alone does not give the code: seeds 0, 1, 2.")


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    fixture.write_plan(tmp_path, "groups", [fixture.run(3, 0.25, seed=seed) for seed in range(9)])
    fixture.write_failure(tmp_path, fixture.run(3, 0.25, seed=0), "diverged", "the loss is not finite")
    found = cell(tmp_path)
    assert found.gaps == ("Seed 0 diverged: the loss is not finite", "Planned, not run yet: 8 seeds.")
    assert found.shown[0].text == found.state == "0 of 9 seeds, 1 diverged"


def test_a_cell_of_both_tables_is_one_with_both_numbers(tmp_path: Path) -> None:
    fixture.plausible(tmp_path, seeds=2)
    runs = frame.runs(tmp_path)
    sections = [assemble.sections(study, runs, tmp_path)[0] for study in ("groups", "shuffle")]
    found = drilldown.cells(tmp_path, sections)
    assert len(found) == 15 + 6
    both = [one for one in found if one.shown[0].table == "Tables 2 and 3"]
    assert {one.key["groups"] for one in both} == {3, 8} and len(both) == 6
    assert {one.shown[0].table for one in found if one not in both} == {"Table 2", "Table 3"}


def test_a_gain_holds_both_arms_seeds(tmp_path: Path) -> None:
    for seed, off, on in ((0, 0.40, 0.36), (1, 0.42, 0.37), (2, 0.44, None)):
        fixture.write_done(tmp_path, fixture.run(3, 0.25, False, seed), off)
        if on is not None:
            fixture.write_done(tmp_path, fixture.run(3, 0.25, True, seed), on)
    change(tmp_path, fixture.run(3, 0.25, False, 1).run_id, commit="d" * 40)
    (section,) = assemble.sections("shuffle", frame.runs(tmp_path), tmp_path)
    (gain,) = drilldown.gains(section, drilldown.cells(tmp_path, [section]))
    assert [seed for seed, _, _ in gain.seeds] == [0, 1, 2] and gain.seeds[2][2] is None
    assert [drilldown.difference(off, on) for _, off, on in gain.seeds] == ["+4.00", "+5.00", ""]
    assert gain.shown.text.startswith("+5.5 [") and gain.state == "3 and 2 seeds", "42 less 36.5"
    assert "differ in code" in gain.warnings[0] and gain.shown.paper.startswith("1.3 (Table 3")
    assert "standard deviation pooled over the width; standard error" in gain.shown.how


def test_the_fingerprint_of_a_network_is_shown_where_there_is_one(tmp_path: Path) -> None:
    three_seeds(tmp_path)
    cell_id = fixture.run(3, 0.25).cell_id
    text = {"cells": {cell_id: {"digest": "0123abcd", "summary": "17 grouped convolutions"}}}
    (tmp_path / "fingerprints.json").write_text(json.dumps(text))
    assert cell(tmp_path).fingerprint == "17 grouped convolutions (0123abcd)"


def test_many_seeds_are_counted_and_few_are_named() -> None:
    runs = [provenance.RunOrigin("", seed, "done", "", 1.0, {}, {}) for seed in range(7)]
    assert (provenance.seeds(runs), provenance.seeds(runs[:2]), provenance.seeds(runs[:1])) == (
        "7 seeds",
        "seeds 0, 1",
        "seed 0",
    )
