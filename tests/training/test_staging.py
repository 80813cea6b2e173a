"""Captured steps on data that are not in the GPU's memory: the batches of the eager step, each sent ahead of its step.

There is no GPU here: a function that calls the step again stands in for capturing, and streams note what they wait for.
"""

from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from ablations.core.signals import Stopped
from ablations.training import run_group, staging, trainer
from ablations.training.cuda_graph import CudaGraphStep
from ablations.training.input import batches
from ablations.training.input.prefetch import Prefetcher
from ablations.training.trainer import TrainingEntry, train_together
from tests.golden.numerics import _double as double
from tests.make import run
from tests.training import test_random_crops as whole_images
from tests.training.test_cuda_graph import NoSync, captured_step
from tests.training.test_resume import after, same
from tests.training.test_streams import Stream
from tests.training.test_trainer import splits

CPU = torch.device("cpu")
SQUARES = run(groups=3, recipe={"epochs": 3, "crop": "pad", "pad": 2, "flip": True, "batch_size": 8})
WHOLE = whole_images.described(epochs=3)
STEPS = {SQUARES: 8, WHOLE: 3}


def squares_elsewhere(data, device):
    """A loader of squares that a prefetcher brings, as for a set that is larger than the GPU's memory."""
    loader = load(data, device)
    if loader.prefetcher:
        return loader
    fill = batches._squares(loader.train_images, loader.train_index)
    side = tuple(loader.train_images.shape[1:])
    return replace(loader, prefetcher=Prefetcher(fill, lambda protocol: side, device))


load = batches.to_batch_loader


@pytest.fixture
def captured(captured, monkeypatch):
    """And data are elsewhere."""
    monkeypatch.setattr(trainer, "to_batch_loader", squares_elsewhere)
    return captured


def data_of(one):
    return whole_images.splits() if one is WHOLE else splits(SQUARES.protocol.data)


def entries(one, path=None, stop=lambda: False):
    """Two seeds, which train fused."""
    runs = [replace(one, seed=seed) for seed in range(2)]
    return [TrainingEntry(each, path and path / str(each.seed), stop=stop) for each in runs]


@pytest.mark.parametrize("one", [SQUARES, WHOLE], ids=["squares", "whole"])
def test_it_trains_what_the_eager_step_trains_to_the_bit(tmp_path, captured, monkeypatch, one):
    with double():
        stop = after(2 * (STEPS[one] + 1) + 1)
        stopped = dict(train_together(entries(one, tmp_path, stop), data_of(one)))
        assert all(isinstance(each, Stopped) for each in stopped.values()), "inside the second epoch"
        replayed = dict(train_together(entries(one, tmp_path), data_of(one)))
        assert len(captured) == 2, "once before the stop, once after"
        monkeypatch.undo()
        eager = dict(train_together(entries(one), data_of(one)))
        assert all(same(replayed[number], eager[number]) for number in range(2))


def test_where_capturing_fails_the_eager_step_goes_on(captured, monkeypatch):
    def capture(body):
        raise RuntimeError("stream is capturing")

    monkeypatch.setattr(run_group, "EagerStep", lambda train_step, batch: CudaGraphStep(train_step, batch, capture))
    with double():
        with pytest.warns(UserWarning, match="could not be captured"):
            replayed = dict(train_together(entries(SQUARES), data_of(SQUARES)))
        monkeypatch.undo()
        eager = dict(train_together(entries(SQUARES), data_of(SQUARES)))
        assert all(same(replayed[number], eager[number]) for number in range(2))


def step_of(one):
    return captured_step(one, loader=squares_elsewhere(data_of(one), CPU), steps=STEPS[one])


@pytest.mark.parametrize("one", [SQUARES, WHOLE], ids=["squares", "whole"])
def test_the_captured_part_reads_nothing_back_and_copies_nothing_over(one):
    step = step_of(one)
    step(0)
    with NoSync() as mode:
        step.body()
    assert len(mode.seen) > 300


def test_the_next_batch_is_copied_while_the_step_computes(monkeypatch):
    seen = []
    current, copies = Stream("step", seen), Stream("copies", seen)
    on = [current]

    @contextmanager
    def to(stream):
        on.append(stream)
        yield
        on.pop()

    monkeypatch.setattr(staging, "stream_of", lambda device, name: copies)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda self, stream: seen.append(f"kept for {stream.name}"))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device=None: on[-1])
    monkeypatch.setattr(torch.cuda, "stream", to)
    batch = Prefetcher.batch

    def fetched(self, randomness, rows, protocol):
        seen.append(f"batch {rows.start // 8} on {on[-1].name}")
        return batch(self, randomness, rows, protocol)

    monkeypatch.setattr(Prefetcher, "batch", fetched)
    copied = torch.Tensor.copy_

    def noted(self, source, non_blocking=False):
        if self.dtype == torch.uint8:
            seen.append(f"{'sent' if non_blocking else 'taken'} on {on[-1].name}")
        return copied(self, source, non_blocking)

    monkeypatch.setattr(torch.Tensor, "copy_", noted)
    step = step_of(SQUARES)
    learn = step.train_step.learn
    monkeypatch.setattr(step.train_step, "learn", lambda *what: (seen.append(f"learns on {on[-1].name}"), learn(*what)))
    for k in range(STEPS[SQUARES]):
        step(k)
    taken = ["step waits for copies", "taken on step", "copies waits for step", "learns on step"]
    assert seen[:3] == ["kept for copies", "batch 0 on step", "sent on copies"]
    assert seen[3:9] == [*taken, "batch 1 on step", "sent on copies"]
    assert seen[-4:] == taken, "after the last step nothing is sent"
    assert [each for each in seen if each.startswith("batch")] == [f"batch {k} on step" for k in range(8)]
