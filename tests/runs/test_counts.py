"""Costs that come with the code are those of the networks, and count only while those are as they were."""

import json
import shutil

import pytest

from ablations.core.json_subprocess import run_module_json
from ablations.core.paths import ROOT
from analysis.runs import macs
from analysis.runs.macs import at_224
from scripts.count_networks import subjects
from tests.runs.test_macs import network


def test_every_network_of_presets_and_tables_is_counted_as_it_is_today():
    assert {one.name for one in subjects()} == set(macs.counted()), "model/ or a preset has changed: make counts"


def test_all_networks_counted_anew_cost_the_same():
    """By both counters, which must agree; takes some 30 seconds."""
    wanted = subjects()
    found = run_module_json("analysis.runs.macs", [json.loads(one.name) for one in wanted])
    assert {one.name: cost for one, cost in zip(wanted, found, strict=True)} == macs.counted()


def test_what_is_counted_takes_no_process(monkeypatch, tmp_path):
    monkeypatch.setattr(macs, "run_module_json", lambda *_: pytest.fail("measured"))
    found = macs.costs(tmp_path, [at_224(network("shufflenet", 3, 1.0, 24))])
    assert [cost.macs for cost in found.values() if cost] == [137_460_672]
    assert json.loads((tmp_path / "complexity.json").read_text())["costs"]


def test_counts_of_other_networks_are_not_believed(monkeypatch, tmp_path):
    shutil.copytree(ROOT / "model", tmp_path / "model", ignore=shutil.ignore_patterns("lib", "__pycache__"))
    monkeypatch.setattr(macs, "ROOT", tmp_path)
    assert macs.counted()
    with (tmp_path / "model" / "shufflenet.py").open("a") as file:
        file.write("# another network\n")
    assert macs.counted() == {}
    asked = []
    monkeypatch.setattr(macs, "run_module_json", lambda _, question: [asked.append(one) for one in question])
    assert macs._measure([at_224(network("blog", 1, 1.0, 24))]) == [None] and len(asked) == 1
