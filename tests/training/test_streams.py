"""Cells that train at once: each is to the bit what it is by itself, and one that fails leaves the others alone.

There is no GPU here: streams are stand-ins that note in which order they get work and are waited for.
"""

from contextlib import contextmanager

import pytest
import torch

from ablations.core.signals import Stopped
from ablations.training import checkpoint, run_group, streams, trainer
from ablations.training.cuda_graph import WARM_UP
from ablations.training.step import EagerStep
from ablations.training.streams import in_turn
from ablations.training.trainer import Diverged, TrainingEntry, build_model, train_together
from tests.make import run
from tests.training.test_resume import after, same
from tests.training.test_trainer import splits

CPU = torch.device("cpu")
RECIPE = {"epochs": 2, "crop": "pad", "pad": 2, "flip": True}
CELLS = [[run(seed, RECIPE, groups=groups) for seed in range(2)] for groups in (2, 3, 8)]
RUNS = [CELLS[k][seed] for seed in range(2) for k in range(3)]
"""By seed, as a plan has them: run n is of cell n % 3."""
STEPS = 8


@pytest.fixture(scope="module")
def data():
    return splits(RUNS[0].protocol.data)


def together(entries, data):
    return dict(train_together(entries, data, evaluate_every=1))


@pytest.fixture(scope="module")
def one_at_a_time(data):
    found = [together([TrainingEntry(one) for one in cell], data) for cell in CELLS]
    return [found[n % 3][n // 3] for n in range(6)]


@pytest.fixture
def order(monkeypatch):
    """In which order steps ran: names of the cells, by their number of groups."""
    ran = []
    step = EagerStep.__call__

    def noted(self, k):
        ran.append(self.train_step.score.args[0].stage3[0].conv1.groups // 2)
        step(self, k)

    monkeypatch.setattr(EagerStep, "__call__", noted)
    return ran


def test_cells_at_once_are_to_the_bit_what_they_are_one_at_a_time(data, one_at_a_time, order):
    told = []
    outcomes = together([TrainingEntry(one, observe=told.append) for one in RUNS], data)
    assert all(same(outcomes[n], one_at_a_time[n]) for n in range(6))
    assert order == [2, 3, 8] * STEPS, "a step each in turn"
    assert told.count({"cells_at_once": 3}) == 6


def test_captured_steps_too(data, one_at_a_time, captured):
    """Each cell captures its own, after its own warm-up."""
    outcomes = together([TrainingEntry(one) for one in RUNS], data)
    assert len(captured) == 3 and WARM_UP < STEPS
    assert all(same(outcomes[n], one_at_a_time[n]) for n in range(6))


@pytest.mark.parametrize("step", [1, 4, STEPS])
def test_a_cell_that_fails_leaves_and_the_others_go_on(data, one_at_a_time, order, monkeypatch, step):
    noted = EagerStep.__call__

    def breaks(self, k):
        noted(self, k)
        if order[-1] == 3 and order.count(3) == step:
            raise torch.OutOfMemoryError("no memory left")

    monkeypatch.setattr(EagerStep, "__call__", breaks)
    outcomes = list(train_together([TrainingEntry(one) for one in RUNS], data, evaluate_every=1))
    failed, rest = outcomes[:2], dict(outcomes[2:])
    assert [number for number, _ in failed] == [1, 4], "both seeds of it, as soon as it has happened"
    for _, error in failed:
        assert isinstance(error, torch.OutOfMemoryError) and "in breaks" in error.__notes__[0]
    assert sorted(rest) == [0, 2, 3, 5] and all(same(rest[n], one_at_a_time[n]) for n in rest)


def test_a_run_that_diverges_leaves_its_cell_and_no_other(data, one_at_a_time, monkeypatch):
    def build(one, folders):
        net = build_model(one, folders)
        if one is RUNS[4]:
            net.stage3[1].conv1.weight.data[0, 0] = float("nan")
        return net

    monkeypatch.setattr(trainer, "build_model", build)
    outcomes = together([TrainingEntry(one) for one in RUNS], data)
    assert isinstance(outcomes[4], Diverged) and outcomes[1].history[-1]["step"] == STEPS
    assert all(same(outcomes[n], one_at_a_time[n]) for n in (0, 2, 3, 5))


def test_every_run_of_a_cell_has_an_outcome_also_where_it_cannot_go_on_without_one(data, one_at_a_time, monkeypatch):
    """One leaves, and for the smaller network of the others there is no memory."""

    def regroup(group, kept):
        raise torch.OutOfMemoryError("no memory left")

    def breaks(event):
        if "fused_with" in event:
            raise RuntimeError("of this run alone")

    monkeypatch.setattr(run_group.RunGroup, "_regroup", regroup)
    quiet = lambda event: None  # noqa: E731
    outcomes = together([TrainingEntry(one, observe=breaks if n == 1 else quiet) for n, one in enumerate(RUNS)], data)
    assert all(isinstance(outcomes[n], torch.OutOfMemoryError) for n in (1, 4))
    assert all(same(outcomes[n], one_at_a_time[n]) for n in (0, 2, 3, 5))


def test_all_cells_stop_and_go_on_from_there(tmp_path, data, one_at_a_time):
    stop = after(6 * 3 + 1)
    paths = [tmp_path / one.run_id for one in RUNS]
    stopped = together([TrainingEntry(one, path, stop=stop) for one, path in zip(RUNS, paths, strict=True)], data)
    assert len(stopped) == 6 and all(isinstance(each, Stopped) for each in stopped.values())
    assert all(checkpoint.load(path, one.run_id) for one, path in zip(RUNS, paths, strict=True))
    again = together([TrainingEntry(one, path) for one, path in zip(RUNS, paths, strict=True)], data)
    assert all(same(again[n], one_at_a_time[n]) for n in range(6))


def test_networks_that_do_not_fuse_train_one_after_the_other(data, monkeypatch):
    """They may use random numbers that all of a process share."""
    monkeypatch.setattr(trainer.fused, "fits", lambda net: False)
    seen = []
    entries = [TrainingEntry(one, stop=lambda n=n: seen.append(n) or False) for n, one in enumerate(RUNS[:3])]
    together(entries, data)
    assert seen == sorted(seen) and set(seen) == {0, 1, 2}


class Stream:
    """In place of torch.cuda.Stream: notes what it is asked."""

    def __init__(self, name, seen):
        self.name, self.seen = name, seen

    def wait_stream(self, other):
        self.seen.append(f"{self.name} waits for {other.name}")

    def synchronize(self):
        self.seen.append(f"{self.name} is waited for")


@pytest.fixture
def seen(monkeypatch):
    """What happens on streams, in order."""
    seen = []
    made = {name: Stream(name, seen) for name in ("default", 0, 1)}
    current = [made["default"]]

    @contextmanager
    def on(stream):
        current.append(stream)
        yield
        current.pop()

    monkeypatch.setattr(streams, "stream_of", lambda device, name: made[name])
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device=None: current[-1])
    monkeypatch.setattr(torch.cuda, "stream", on)
    return seen


def test_each_training_has_a_stream_which_the_next_one_takes_over(seen):
    """cuBLAS keeps a workspace for each stream: two at once, two streams for three trainings."""

    def training(name, steps):
        for k in range(steps):
            seen.append(f"{name}{k} on {torch.cuda.current_stream().name}")
            yield None
        yield name

    found = []
    for outcome in in_turn([training("a", 1), training("b", 3), training("c", 1)], 2, torch.device("cuda")):
        seen.append(f"{outcome} taken on {torch.cuda.current_stream().name}")
        found.append(outcome)
    assert found == ["a", "c", "b"]
    assert seen[:4] == ["0 waits for default", "1 waits for default", "a0 on 0", "b0 on 1"]
    assert seen[4:6] == ["0 is waited for", "a taken on default"], "its work is done before its results are read"
    steps = [each for each in seen if each[0] in "abc" and " on " in each and "taken" not in each]
    assert steps == ["a0 on 0", "b0 on 1", "b1 on 1", "c0 on 0", "b2 on 1"]
    assert seen.count("0 waits for default") == 2 and seen.count("1 waits for default") == 1


def test_streams_are_kept_and_the_cpu_has_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: object())
    streams.stream_of.cache_clear()
    device = torch.device("cuda")
    one = streams.stream_of(device, 0)
    assert streams.stream_of(device, 0) is one and streams.stream_of(device, "copies") is not one
    assert streams.stream_of(CPU, 0) is None
    streams.stream_of.cache_clear()
