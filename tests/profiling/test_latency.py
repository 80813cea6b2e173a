"""Measuring inference: every network has its turn in every round, and ratios are taken within rounds."""

import csv
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ablations.profiling import latency, latency_rows, others
from analysis.latency.times import read_times
from analysis.runs import macs
from model import ShuffleNetV1
from model import timing as measuring
from model.backend import fold
from model.family import Input
from model.native import library
from model.timing import FORMATS, INNERMOST, PYTORCH, TimedNetwork, entries, settle_statistics
from tests import results_fixture as fixture

TINY = ("--widths", "0.25", "--groups", "1", "3", "--rounds", "2", "--seconds", "0.01", "--batches", "1", "2")


pytestmark = pytest.mark.usefixtures("one_thread")


def planned(results: Path) -> Path:
    """A results folder whose newest plan has grey images of 24x24, and its multiply-adds known."""
    fixture.write_plan(results, "groups", fixture.grid("groups", [0], fixture.protocol(epochs=9), [0.25]), day=2)
    other = replace(fixture.protocol(classes=7), resolution=16)
    fixture.write_plan(results, "shuffle", fixture.grid("shuffle", [0], other, [0.25]), day=1)
    return results


def test_every_variant_is_measured_once_and_by_every_engine(tmp_path, capsys, monkeypatch):
    results = planned(tmp_path)
    asked = []
    monkeypatch.setattr(
        latency, "run_module_json", lambda module, question: asked.append((module, question)) or ["It [b]says[/b] so."]
    )
    assert latency.main([*TINY, "--results", str(results), "--inputs", "study"]) == 0
    with (results / "latency.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == latency_rows.COLUMNS
    engines = {PYTORCH} | ({f"native {found[0]}"} if (found := library.load()) else set())
    key = ("engine", "batch", "width", "groups", "shuffle")
    seen = [tuple(row[name] for name in key) for row in rows]
    variants = [("0.25", "1", "True"), ("0.25", "3", "True"), ("0.25", "3", "False")]
    assert sorted(seen) == sorted((e, b, *v) for e in engines for b in ("1", "2") for v in variants)
    for row in rows:
        assert (row["input"], row["resolution"], row["channels"], row["stem"]) == ("glyphs", "24", "1", "stride2")
        assert row["classes"] == "10" and row["rounds"] == "2" and row["threads"] == "1"
        assert 0 < float(row["low_ms"]) <= float(row["median_ms"]) <= float(row["high_ms"])
        assert (row["ratio"] == "1") == (row["groups"] == "1") and float(row["ratio"]) > 0
        assert bool(row["shuffle_ratio"]) == (row["groups"] == "3" and row["shuffle"] == "True")
        assert row["memory_format"] in ((*FORMATS,) if row["engine"] == PYTORCH else (INNERMOST,))
        assert row["versions"].startswith("python 3") and row["device"].startswith("cpu") and row["measured"]
    assert len({row["memory_format"] for row in rows if row["engine"] == PYTORCH}) == 1
    out = capsys.readouterr().out
    assert "0.25x g=3 no shuffle" in out and "It [b]says[/b] so." in out and "memory format:" in out
    assert asked == [("analysis.latency.sentences", str(results.resolve()))]
    assert not list(results.glob(".*")) and torch.get_num_threads() == 1
    monkeypatch.setattr(macs, "_measure", fixture.cheap_costs)
    found = read_times(results)
    assert found is not None and not found.problem and len(found.rows) == len(rows)


def test_the_answer_is_that_of_the_page(tmp_path, capsys, monkeypatch):
    """The command asks analysis in a process of its own; multiply-adds are kept, so that this one needs no torch."""
    results = planned(tmp_path)
    fewer = lambda subjects: [{"macs": 1000 - s.network["groups"], "conv_macs": 1, "params": 1} for s in subjects]  # noqa: E731
    monkeypatch.setattr(macs, "_measure", fewer)
    monkeypatch.setattr(latency, "measure", lambda *_: [])
    monkeypatch.setattr(latency_rows, "to_csv", lambda _: made.read_bytes())
    from tests import latency_fixture

    made = latency_fixture.write(tmp_path / "made")
    latency_fixture.write(results)
    read_times(results)
    assert latency.main([*TINY, "--results", str(results)]) == 0
    out = capsys.readouterr().out
    assert "At 1x, one image of glyphs 24×24 in PyTorch, g=8 takes" in out


def test_alexnet_has_the_papers_multiply_adds():
    """The paper's Table 8 prints 720 M; the parameters are those of the published weights."""
    with torch.device("meta"):  # shapes are all that is counted
        net = others.alexnet()
    weights = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    counted, shapes = [], {}
    for module in weights:
        module.register_forward_hook(lambda m, _, out: shapes.update({m: out.shape}))
    with torch.no_grad():
        assert net(torch.zeros(1, 3, 224, 224, device="meta")).shape == (1, 1000)
    for module in weights:
        places = shapes[module][2:].numel() if isinstance(module, nn.Conv2d) else 1
        counted.append(places * module.weight.numel())
    assert round(sum(counted) / 1e6) == 724 and sum(p.numel() for p in net.parameters()) == 60_965_224


def test_mobilenet_and_alexnet_have_a_row_each_that_can_be_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr(measuring, "LEAST", 1)
    found = others.measure_others(*latency.PAPER, 1, 0.0)
    assert [row["structure"] for row in found] == ["mobilenet", "alexnet"]
    assert all(row["rounds"] == 1 and row["median_ms"] > 0 and row["memory_format"] in FORMATS for row in found)
    origin = {"threads": 1, "device": "cpu", "versions": "torch", "measured": "now"}
    like = {**found[0], "structure": "shufflenet", "groups": 3, "stem_channels": 24}
    (tmp_path / "latency.csv").write_bytes(latency_rows.to_csv([{**row, **origin} for row in (like, *found)]))
    monkeypatch.setattr(macs, "_measure", fixture.cheap_costs)
    read = read_times(tmp_path)
    assert read is not None and not read.problem
    assert read.others == {row["structure"]: pytest.approx(row["median_ms"], rel=1e-4) for row in found}


def test_the_papers_variants_are_21():
    found = latency.variants(latency.WIDTHS, latency.GROUPS, "stride1")
    assert len(found) == len(set(found)) == 21
    axes = [one.axes for one in found]
    assert sum(not one["shuffle"] for one in axes) == 6 and {one["groups"] for one in axes if not one["shuffle"]} == {
        3,
        8,
    }
    assert {one["stem_channels"] for one in axes if one["groups"] == 8} == {8, 16, 24}


def test_inputs_are_the_study_planned_last_and_the_papers(tmp_path):
    both = ("study", "paper")
    paper = {Input(1000, 3, 224, "imagenet"): "imagenet"}
    assert latency.inputs(both, tmp_path) == {Input(10, 3, 32, "stride1"): "cifar10"} | paper
    assert latency.inputs(both, planned(tmp_path)) == {Input(10, 1, 24, "stride2"): "glyphs"} | paper
    data = {"name": "imagenet", "classes": 1000, "channels": 3}
    whole = replace(fixture.protocol(**data), resolution=224, stem="imagenet")
    fixture.write_plan(tmp_path, "groups", fixture.grid("groups", [0], whole, [0.25]), day=3)
    assert latency.inputs(both, tmp_path) == paper, "the same network and input is measured once"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--groups", "5"), "groups=5 cannot be built"),
        (("--widths", "0"), "width=0.0 cannot be built"),
        (("--rounds", "0"), "must be above 0"),
        (("--batches", "1", "-2"), "must be above 0"),
        (("--seconds", "nan"), "must be above 0"),
    ],
)
def test_wrong_options_are_told_before_anything_is_measured(tmp_path, capsys, monkeypatch, options, sentence):
    monkeypatch.setattr(latency, "measure", lambda *_: pytest.fail("it was measured"))
    assert latency.main(["--results", str(tmp_path), *options]) == 2
    assert sentence in capsys.readouterr().err and not (tmp_path / "latency.csv").exists()


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_measured(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(latency, "measure", lambda *_: pytest.fail("it was measured"))
    (tmp_path / "results").write_text("a file in the way")
    assert latency.main(["--results", str(tmp_path / "results")]) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_stopped_it_writes_nothing(tmp_path, capsys, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(latency, "measure", stop)
    assert latency.main(["--results", str(tmp_path)]) == 130
    assert "nothing was written" in capsys.readouterr().err and not list(tmp_path.iterdir())


class Machine:
    """A clock and networks whose calls move it on; the machine halves its speed after some time."""

    def __init__(self, monkeypatch, slows_at: float) -> None:
        self.now, self.slows_at, self.called = 0.0, slows_at, []
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def entry(self, number: int, seconds: float) -> TimedNetwork:
        return TimedNetwork(number, PYTORCH, "contiguous", partial(self.call, number, seconds))

    def call(self, number: int, seconds: float) -> torch.Tensor:
        self.called.append(number)
        self.now += seconds * (2 if self.now > self.slows_at else 1)
        return torch.ones(2, 3)


def test_in_each_round_each_has_a_turn_and_ratios_survive_a_machine_that_slows_down(monkeypatch):
    machine = Machine(monkeypatch, slows_at=20.0)
    seconds = (1.0, 2.0, 1.5)
    times = measuring.measure([machine.entry(k, s) for k, s in enumerate(seconds)], rounds=9, seconds=1e9)
    assert times.shape == (3, 9) and machine.called[:3] == [0, 1, 2], "one round to warm up"
    turns = np.array(machine.called[3:]).reshape(9, 3)
    assert (np.sort(turns, axis=1) == [0, 1, 2]).all() and len({tuple(turn) for turn in turns}) > 2
    assert times[0].max() == 2 * times[0].min(), "else nothing slowed down"
    whole = [k for k in range(9) if times[0, k] == times[1, k] / 2]
    assert len(whole) >= 8, "but for the round in which it happened"
    np.testing.assert_allclose(np.median(times[1] / times[0]), 2)
    np.testing.assert_allclose(np.median(times[2] / times[0]), 1.5)


def test_short_calls_are_repeated_and_time_ends_the_rounds(monkeypatch):
    machine = Machine(monkeypatch, slows_at=1e9)
    times = measuring.measure([machine.entry(0, 0.005), machine.entry(1, 1e-5)], rounds=1000, seconds=1.0)
    np.testing.assert_allclose(times[0], 0.005)
    per_round = 5 * 0.005 + (measuring.CALLS + 1) * 1e-5  # the first call of a turn is not counted
    assert times.shape[1] == int(np.ceil(1.0 / per_round))
    machine = Machine(monkeypatch, slows_at=1e9)
    assert measuring.measure([machine.entry(0, 5.0)], rounds=1000, seconds=0.1).shape[1] == measuring.LEAST
    assert measuring.measure([machine.entry(0, 5.0)], rounds=2, seconds=0.1).shape[1] == 2


def test_engines_that_disagree_are_not_timed():
    one = TimedNetwork(0, PYTORCH, "contiguous", lambda: torch.tensor([[1.0, 2.0]]))
    other = replace(one, engine="native avx2", call=lambda: torch.tensor([[1.0, 2.1]]))
    with pytest.raises(RuntimeError, match="native avx2"):
        measuring.measure([one, other], rounds=1, seconds=1)
    measuring.measure([one, replace(other, network=1)], rounds=1, seconds=1)


def test_batchnorm_has_statistics_and_all_that_is_timed_gives_the_networks_scores():
    net = ShuffleNetV1(groups=3, width=0.25, num_classes=5, stem="stride1")
    assert settle_statistics(net, 3, 16) is net and not net.training
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    assert all(norm.momentum == 0.1 for norm in norms)
    assert all(norm.running_mean.abs().max() > 0 and (norm.running_var - 1).abs().max() > 0.01 for norm in norms)
    images = torch.randn(2, 3, 16, 16)
    with torch.inference_mode():
        expected = net(images)
        found = entries([net], images)
        assert len(found) == (3 if library.load() else 2)
        for entry in found:
            torch.testing.assert_close(entry.call(), expected, rtol=1e-3, atol=1e-4)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fold(net).modules())


def test_rows_are_medians_quartiles_and_ratios_within_rounds():
    variants = latency.variants([0.5], [1, 3], "stride1")
    formats = [TimedNetwork(k, PYTORCH, form, lambda: torch.ones(1)) for k in range(3) for form in FORMATS]
    base = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    factor = np.array([1.5, 1.0, 2.0, 1.8, 1.9])
    of_network = {0: base, 1: base * factor, 2: base * factor / 1.25}
    seconds = np.stack([of_network[e.network] * (1 if e.memory_format == "contiguous" else 0.8) for e in formats])
    rows = latency_rows.rows("x", Input(10, 3, 32, "stride1"), 64, variants, formats, seconds)
    assert [(row["groups"], row["shuffle"]) for row in rows[::2]] == [(1, True), (3, True), (3, False)]
    three = rows[2]
    assert (three["median_ms"], three["low_ms"], three["high_ms"]) == pytest.approx((8000, 2000, 14400))
    assert (three["ratio"], three["ratio_low"], three["ratio_high"]) == pytest.approx((1.8, 1.5, 1.9))
    assert (three["shuffle_ratio"], three["shuffle_low"], three["shuffle_high"]) == pytest.approx((1.25,) * 3)
    assert rows[0]["ratio"] == 1 and rows[0]["shuffle_ratio"] is None and rows[4]["shuffle_ratio"] is None
    assert three["format_ratio"] == pytest.approx(0.8) and rows[3]["format_ratio"] == pytest.approx(1.25)
    assert latency_rows.choose_format(rows) == "channels_last"
    assert latency_rows.gain(rows, "channels_last") == pytest.approx(1.25)
    lines = latency_rows.to_csv(rows).decode().splitlines()
    assert len(lines) == 7 and ",8000,2000,14400,1.8,1.5,1.9,1.25,1.25,1.25,0.8,5," in lines[3]
