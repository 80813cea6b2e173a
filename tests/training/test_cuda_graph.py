"""The step that a CUDA graph replays: it trains what the eager one trains, and asks the device for nothing.

There is no GPU here: a function that calls the step again stands in for capturing: all but CUDA's part is tested.
"""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ablations.core.signals import Stopped
from ablations.training import run_group
from ablations.training.cuda_graph import WARM_UP, CudaGraphStep
from ablations.training.input.augment import EpochRandomness, draw_epoch
from ablations.training.input.batches import to_batch_loader
from ablations.training.metrics import Sums
from ablations.training.optimizer import Sgd
from ablations.training.step import EagerStep, TrainStep, interleaved, side_by_side
from ablations.training.trainer import TrainingEntry, build_model, train_together
from model.fused import FusedShuffleNet
from model.ops import REFERENCE
from tests.golden.numerics import _double as double
from tests.make import run, splits, train
from tests.training.test_resume import after, same
from tests.training.test_trainer import digest

RECIPE = {"epochs": 3, "crop": "pad", "pad": 2, "flip": True, "warmup_epochs": 1.0}
ONE = run(groups=3, recipe=RECIPE)


@pytest.fixture(scope="module")
def data():
    return splits(ONE.protocol.data)


def test_it_trains_what_the_eager_one_trains_to_the_bit(data, captured, monkeypatch):
    with double():
        replayed = train(ONE, data, evaluate_every=1)
        assert len(captured) == 1, "once a run, not once an epoch"
        monkeypatch.undo()
        assert same(replayed, train(ONE, data, evaluate_every=1))


def test_fused_runs_too_and_again_after_one_has_left(data, captured, monkeypatch):
    runs = [run(seed, RECIPE, groups=3) for seed in range(3)]

    def entries():
        stop = after(6)

        def breaks() -> bool:
            if stop():
                raise RuntimeError
            return False

        return [TrainingEntry(runs[0], stop=breaks), *(TrainingEntry(one) for one in runs[1:])]

    with double():
        replayed = dict(train_together(entries(), data))
        assert len(captured) == 2 and isinstance(replayed[0], RuntimeError)
        monkeypatch.undo()
        eager = dict(train_together(entries(), data))
        assert all(same(replayed[number], eager[number]) for number in (1, 2))


@pytest.mark.parametrize("call", [2, 4, 6])
def test_stopped_inside_an_epoch_it_goes_on_with_the_next_step(tmp_path, data, captured, call):
    with double():
        path = tmp_path / "checkpoint.pt"
        with pytest.raises(Stopped):
            train(ONE, data, checkpoint_path=path, stop=after(call))
        assert same(train(ONE, data, checkpoint_path=path), train(ONE, data))


def test_where_capturing_fails_it_warns_and_trains_on(data, monkeypatch):
    def capture(body):
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nand more")

    monkeypatch.setattr(run_group, "EagerStep", lambda train_step, batch: CudaGraphStep(train_step, batch, capture))
    with double():
        with pytest.warns(UserWarning, match="could not be captured as a CUDA graph .*stream is capturing"):
            trained = train(ONE, data)
        monkeypatch.undo()
        assert digest(trained) == digest(train(ONE, data))


def test_learning_rates_from_a_tensor_are_those_from_a_number():
    recipe = ONE.protocol.recipe
    nets = [build_model(ONE) for _ in range(2)]
    ours, theirs = (Sgd(net, recipe) for net in nets)
    for k in range(5):
        torch.manual_seed(k)
        grads = [torch.randn_like(p) for p in nets[0].parameters()]
        for net in nets:
            for p, grad in zip(net.parameters(), grads, strict=True):
                p.grad = grad.clone()
        ours.step(0.1 / (k + 3))
        theirs.step(torch.tensor([0.1 / (k + 3)]))
    assert all(torch.equal(a, b) for a, b in zip(*(net.parameters() for net in nets), strict=True))


FORBIDDEN = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "lift_fresh", "equal.default", "allclose")
"""What reads a value back from the device, has a shape that depends on one, or copies the program's values to it."""


class NoSync(TorchDispatchMode):
    """Fails on what a CUDA graph cannot hold; counts the rest."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        name = str(function)
        self.seen.append(name)
        assert not any(part in name for part in FORBIDDEN), name
        if "aten.index" in name:
            indices = arguments[1] if isinstance(arguments[1], (list, tuple)) else []
            assert not any(i is not None and i.dtype in (torch.bool, torch.uint8) for i in indices), name
        return function(*arguments, **(keywords or {}))


RECIPES = [
    {"crop": "none", "flip": True},
    {"crop": "pad", "pad": 2, "flip": True, "label_smoothing": 0.1},
    {"crop": "resized", "area": (0.3, 1.0), "flip": True, "jitter": 0.4, "nesterov": False},
]


def captured_step(one, copies=None, ops=REFERENCE, loader=None, steps=4):
    """The step of a run, or of some that train fused, at the start of an epoch; a stand-in captures it."""
    protocol, cpu = one.protocol, torch.device("cpu")
    loader = loader or to_batch_loader(splits(protocol.data), cpu)
    nets = [build_model(one) for _ in range(copies or 1)]
    net = FusedShuffleNet(nets, ops) if copies else nets[0]
    train_step = TrainStep(net, copies, Sgd(net, protocol.recipe), loader, protocol, Sums(len(nets), cpu))
    step = CudaGraphStep(train_step, protocol.recipe.batch_size, lambda body: body)
    step.begin([draw_epoch(seed, 0, len(loader.train_index)) for seed in range(len(nets))], [0.1] * steps, 0)
    return step


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("copies", [None, 2])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_step_reads_nothing_back_and_copies_nothing_over(recipe, copies, channels):
    step = captured_step(run(groups=3, recipe=recipe, data={"channels": channels}), copies)
    for k in range(WARM_UP):
        step(k)
    with NoSync() as mode:
        step.body()
    assert len(mode.seen) > 500 and "aten._fused_sgd_.tensor_lr" in mode.seen
    assert int(step.next) == 4 and step.train_step.sums.loss.isfinite().all()
    assert all(p.grad is None for p in step.train_step.score.parameters())


def test_the_guard_of_the_test_above_sees_what_it_must():
    for wrong in (
        lambda x: x.sum().item(),
        lambda x: x.new_tensor([1.0, 2.0]),
        lambda x: x.nonzero(),
        lambda x: x[x > 0],
        lambda x: bool((x > 0).all()),
    ):
        with pytest.raises(AssertionError), NoSync():
            wrong(torch.ones(3))


def test_rows_of_fused_epochs_lie_step_by_step_and_images_network_by_network():
    randomness = [EpochRandomness(torch.arange(7) + 10 * k, torch.rand(7, 8)) for k in range(2)]
    together = interleaved(randomness, 3, 2)
    assert together.order.tolist() == [0, 1, 2, 10, 11, 12, 3, 4, 5, 13, 14, 15]
    assert torch.equal(together.unit[3:6], randomness[1].unit[:3])
    images = torch.arange(2 * 3).view(6, 1, 1, 1).expand(6, 2, 2, 3)
    assert side_by_side(images, 2).shape == (3, 2, 2, 6)
    assert side_by_side(images, 2)[1, 0, 0].tolist() == [1, 1, 1, 4, 4, 4]


class Launched(EagerStep):
    """In place of a captured step."""

    failure = None

    def __init__(self, train_step, batch, capture):
        super().__init__(train_step, batch)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_on_a_gpu_a_real_graph_trains_what_the_eager_step_trains(data, monkeypatch):
    """Two cells at once, of two seeds each."""
    told = []
    runs = [run(seed, RECIPE, groups=groups) for groups in (2, 3) for seed in range(2)]
    replayed = dict(train_together([TrainingEntry(one, observe=told.append) for one in runs], data, "cuda"))
    assert not any("captured" in event for event in told)
    monkeypatch.setattr(run_group, "CudaGraphStep", Launched)
    eager = dict(train_together([TrainingEntry(one) for one in runs], data, "cuda"))
    for number in range(4):
        losses = [each[number].history[0]["train_loss"] for each in (replayed, eager)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)
