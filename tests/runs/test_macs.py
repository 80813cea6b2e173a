"""Costs are those of model.complexity, measured once."""

import json
from pathlib import Path

import pytest

from analysis.runs import macs
from analysis.runs.cell import Cell
from analysis.runs.macs import NetworkCost, Subject, at_224


def network(structure: str, groups: int, width: float, stem_channels: int) -> Cell:
    return Cell.of({"structure": structure, "groups": groups, "width": width, "stem_channels": stem_channels})


def test_costs_are_measured_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paper, grey = (
        at_224(network("shufflenet", 3, 1.0, 24)),
        Subject(network("shufflenet", 3, 0.25, 12), "stride2", 1, 24, 10),
    )
    odd = Subject(network("shufflenet", 2, 0.25, 7), "stride2", 1, 24, 10)
    found = macs.costs(tmp_path, [paper, grey, odd, grey])
    assert found[paper] == NetworkCost(macs=137_460_672, conv_macs=136_500_672, params=1_865_728)
    assert found[grey] is not None and found[grey].params < 100_000
    assert found[odd] is None, "two groups do not divide a stem of 7 channels"
    monkeypatch.setattr(macs, "_measure", lambda subjects: pytest.fail(f"measured again: {subjects}"))
    assert macs.costs(tmp_path, [odd, paper, grey]) == found


def test_another_network_is_measured_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = at_224(network("shufflenet", 3, 1.0, 24))
    monkeypatch.setattr(macs, "_measure", lambda _: [{"macs": 2, "conv_macs": 1, "params": 3}])
    macs.costs(tmp_path, [subject])
    kept = json.loads((tmp_path / "complexity.json").read_text())
    (tmp_path / "complexity.json").write_text(json.dumps({**kept, "model": "of other source"}))
    monkeypatch.setattr(macs, "_measure", lambda _: [{"macs": 20, "conv_macs": 10, "params": 30}])
    assert macs.costs(tmp_path, [subject])[subject] == NetworkCost(20, 10, 30)


def test_a_damaged_file_is_measured_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "complexity.json").write_text('{"model": ')
    monkeypatch.setattr(macs, "_measure", lambda _: [None])
    assert macs.costs(tmp_path, [at_224(network("blog", 1, 1.0, 24))]) == {at_224(network("blog", 1, 1.0, 24)): None}


def test_a_measurement_that_fails_is_told(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"could not be measured: .*NoneType"):
        macs.costs(tmp_path, [Subject(network("shufflenet", 1, 0.25, 12), "stride2", 1, None, 10)])  # type: ignore[arg-type]
    assert not (tmp_path / "complexity.json").exists()
