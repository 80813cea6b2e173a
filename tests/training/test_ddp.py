"""One run by several processes, for real (gloo): the training of one process, whoever comes, goes or dies."""

import json
import multiprocessing
import os
import signal
import time
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from threading import Event
from threading import enumerate as enumerate_threads

import pytest
import torch

from ablations.core.errors import RankLost
from ablations.core.run_spec import from_json
from ablations.core.signals import Stopped
from ablations.data import load
from ablations.store import run_folder
from ablations.training import ddp_processes as processes
from ablations.training.ddp import DDPGroup
from ablations.training.ddp_processes import RankTask, spawn_ranks
from ablations.training.input.augment import draw_epoch
from ablations.training.step import part
from ablations.training.trainer import build_model
from tests import make
from tests.golden.numerics import _double
from tests.make import run, splits
from tests.sweeps import ablations, finished, gone, until
from tests.training.test_resume import after

RECIPE = {"epochs": 5, "lr": 0.02, "crop": "pad", "pad": 2, "flip": True, "label_smoothing": 0.1}
RUN = run(groups=3, recipe={**RECIPE, "ghost_batches": 2})
STEPS = 20
HELD = ExitStack()


def in_double(spec):
    """A run's data; the process that loads them computes in double precision from then on."""
    HELD.enter_context(_double())
    return splits(spec)


def by_two(load=in_double, run=RUN, **what):
    what = {"kernels": "reference", **what}
    return spawn_ranks(RankTask(run, partial(load, run.protocol.data), "cpu", 2, **what))


def train(*arguments, **what):
    """By PyTorch's operators: last bits of the compiled ones depend on running statistics, which are each process's
    own, and runs this small are chaotic."""
    return make.train(*arguments, **{"kernels": "reference", **what})


@pytest.fixture(scope="module")
def data():
    return splits(RUN.protocol.data)


@pytest.fixture(scope="module")
def alone(data):
    """The run as one process trains it."""
    with _double():
        return train(RUN, data, evaluate_every=1)


def assert_same(trained, expected):
    keys = ("epoch", "step", "lr", "train_loss", "train_error", "test_loss", "test_error", "test_top5_error")
    assert len(trained.history) == len(expected.history) == 5 and trained.history[-1]["step"] == STEPS
    for row, other in zip(trained.history, expected.history, strict=True):
        assert [row[key] for key in keys] == pytest.approx([other[key] for key in keys], rel=1e-9, abs=0)
    weights, others = trained.model.state_dict(), expected.model.state_dict()
    for name, value in weights.items():
        assert torch.allclose(value, others[name], rtol=1e-9, atol=1e-12), name
    assert (trained.last.correct == expected.last.correct).all()


def test_two_processes_train_what_one_does(data, alone):
    with _double(), by_two() as ddp:
        two = train(RUN, data, evaluate_every=1, ddp=ddp)
    assert_same(two, alone)
    whole = run(groups=3, recipe=RECIPE)
    with _double():
        other = train(whole, data).history[0]["train_loss"]
    assert abs(other - alone.history[0]["train_loss"]) > 1e-4, "the number of ghost batches is part of the result"


@pytest.mark.parametrize("kernels", ["reference", "auto"])
def test_processes_that_have_several_ghost_batches_each(data, kernels):
    """Gradients then are added in another order, and so small a batch soon makes much of a last bit: rates are
    tiny, and what is compared is how far the weights have come."""
    four = run(groups=3, recipe={**RECIPE, "ghost_batches": 4, "lr": 1e-10})
    with _double():
        before, one = build_model(four).state_dict(), train(four, data, kernels=kernels)
        with by_two(run=four, kernels=kernels) as ddp:
            two = train(four, data, kernels=kernels, ddp=ddp)
    assert [row["train_loss"] for row in two.history] == pytest.approx(
        [row["train_loss"] for row in one.history], 1e-12
    )
    others = one.model.state_dict()
    for name, value in two.model.state_dict().items():
        off, moved = (value - others[name]).double().norm(), (others[name] - before[name]).double().norm()
        assert off <= 1e-8 * moved, name


def test_a_run_goes_on_when_the_number_of_processes_changes(tmp_path, data, alone):
    """One process, two, one: stopped inside an epoch each time (there is one more question in each evaluation)."""
    path = tmp_path / "checkpoint.pt"
    with _double():
        with pytest.raises(Stopped, match="after step 6"):
            train(RUN, data, "cpu", path, 1, stop=after(7))
        with by_two() as ddp, pytest.raises(Stopped, match="after step 14"):
            os.kill(ddp.peers[0].process.pid, signal.SIGTERM)  # it asks all of a group of processes: rank 0 decides
            train(RUN, data, "cpu", path, 1, stop=after(10), ddp=ddp)
        last = train(RUN, data, "cpu", path, 1)
    assert_same(last, alone)
    assert {file.name for file in tmp_path.iterdir()} == {"checkpoint.pt", "checkpoint.pt.previous"}


def test_a_rank_that_is_killed_fails_the_run_and_the_next_start_goes_on(tmp_path, data, alone):
    path, asked = tmp_path / "checkpoint.pt", after(3)
    with _double():
        with (
            pytest.raises(RankLost, match=r"Rank 1 of this run \(process \d+\) ended with exit code -9"),
            by_two() as ddp,
        ):
            other = ddp.peers[0].process

            def kill():
                if asked():
                    os.kill(other.pid, signal.SIGKILL)
                return False

            train(RUN, data, "cpu", path, 1, stop=kill, checkpoint_every=0, ddp=ddp)
        assert not torch.distributed.is_initialized()
        assert_same(train(RUN, data, "cpu", path, 1), alone)


def test_a_rank_that_hangs_ends_the_run(data, monkeypatch):
    monkeypatch.setattr(processes, "END_SECONDS", 0.2)
    asked = after(2)
    with pytest.raises(RankLost, match="did not answer"), by_two(splits, patience=4.0) as ddp:
        other = ddp.peers[0].process
        train(RUN, data, stop=lambda: bool(asked() and os.kill(other.pid, signal.SIGSTOP)), ddp=ddp)
    assert not other.is_alive()


def no_data(spec):
    raise ValueError("no such data")


def test_a_rank_that_cannot_start_says_why():
    with pytest.raises(RankLost, match="Rank 1 of this run could not start: ValueError: no such data"), by_two(no_data):
        pass


def _lead(pipe):
    """Rank 0 of a run, in a process of its own."""
    torch.set_num_threads(1)
    with by_two(splits) as ddp:
        pipe.send(ddp.peers[0].process.pid)
        train(replace(RUN, seed=1), splits(RUN.protocol.data), stop=lambda: time.sleep(0.2), ddp=ddp)


def test_no_rank_outlives_rank_0():
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    leader = context.Process(target=_lead, args=(theirs,))
    leader.start()
    follower = ours.recv()
    os.kill(leader.pid, signal.SIGKILL)
    leader.join()
    until(lambda: gone(follower), 60, "the other rank ends")


def test_each_rank_has_its_rows_of_each_batch_in_order():
    randomness = draw_epoch(3, 0, 50)
    parts = [part(randomness, 12, 4, DDPGroup(rank, 3)) for rank in range(3)]
    for step in range(4):
        rows, mine = slice(step * 12, (step + 1) * 12), slice(step * 4, (step + 1) * 4)
        assert torch.equal(torch.cat([each.order[mine] for each in parts]), randomness.order[rows])
        assert torch.equal(torch.cat([each.unit[mine] for each in parts]), randomness.unit[rows])


def test_a_sweep_of_runs_by_two_processes(tmp_path):
    done = ablations(
        tmp_path / "results",
        *("-m", "model.groups=3", "recipe.ghost_batches=2"),
        *("runtime.processes_per_run=2", "runtime.kernels=reference"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    ((run_id, two),) = finished(tmp_path / "results").items()
    folder = run_folder.path_of(tmp_path / "results", run_id)
    one = from_json(json.loads((folder / "run.json").read_text()))
    (cached,) = (tmp_path / "cache").glob("glyphs-*")
    assert two["train_loss"] == pytest.approx(
        train(one, load(cached, one.protocol.data)).history[0]["train_loss"], 1e-5
    )
    assert json.loads((folder / "provenance.json").read_text())["processes"] == 2
    assert "by 2 processes" in (folder / "log.txt").read_text()
    names = {"run.json", "provenance.json", "metrics.csv", "correct.npy", "checkpoint.pt", "log.txt", "result.json"}
    assert {path.name for path in folder.iterdir()} == names


class Gone:
    """A peer whose process has ended."""

    def send(self, order):
        pass

    def lost(self):
        return "Rank 1 of this run ended with exit code -9."


@pytest.fixture
def follower():
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,), daemon=True)
    child.start()
    yield child
    child.kill()
    child.join()


def test_what_waits_for_a_dead_process_is_aborted_and_the_run_is_lost(follower, monkeypatch):
    """NCCL's operations wait for it for ever, and return when they are aborted as if they had been done."""
    monkeypatch.setattr(processes.os, "_exit", lambda code: pytest.fail("it has noticed"))
    aborted, ddp = Event(), DDPGroup(0, 2, [Gone()])
    watched = processes.watch_ranks(ddp, [follower.sentinel], aborted.set)
    with watched, pytest.raises(RankLost, match="exit code -9"), ddp.guarded():
        follower.kill()
        assert aborted.wait(60)


def test_a_process_that_cannot_be_freed_ends(follower, monkeypatch):
    ended = Event()
    monkeypatch.setattr(processes.os, "_exit", lambda code: ended.set())
    with processes.watch_ranks(DDPGroup(0, 2, [Gone()]), [follower.sentinel], lambda: None, seconds=0.01):
        assert not ended.wait(0.2)
        follower.kill()
        assert ended.wait(60)


def test_the_watch_ends_with_the_run(follower):
    ddp = DDPGroup(0, 2, [Gone()])
    with processes.watch_ranks(ddp, [follower.sentinel], lambda: pytest.fail("nobody has died")):
        watchers = [thread for thread in enumerate_threads() if thread.name == "watch-ranks"]
    follower.kill()
    assert not any(thread.is_alive() for thread in watchers) and not ddp.died.is_set()
