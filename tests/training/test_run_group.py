"""Runs trained in lock step: each is the run that it is alone, keeps its own files, and fails or stops like one."""

from dataclasses import replace

import pytest
import torch

from ablations.core.signals import Stopped
from ablations.training import checkpoint, evaluate, run_group, trainer
from ablations.training.trainer import Diverged, TrainingEntry, TrainResult, build_model, train_together
from tests.golden.numerics import _double as double
from tests.make import run, splits, train
from tests.training.test_cuda_graph import Launched
from tests.training.test_resume import after, same
from tests.training.test_trainer import digest, timeless

# Batches and images large enough, and a rate small enough, that training does not blow rounding up.
RECIPE = {"epochs": 3, "lr": 0.001, "batch_size": 32, "crop": "pad", "pad": 2, "flip": True, "label_smoothing": 0.1}
SPEC = {"cache_resolution": 24, "train_images": 100}
RUNS = [run(seed, RECIPE, SPEC, groups=3, shuffle=shuffle) for seed, shuffle in [(0, True), (1, True), (0, False)]]
STEPS = 9


@pytest.fixture(scope="module")
def data():
    return splits(RUNS[0].protocol.data)


def together(entries, data, **settings) -> dict[int, TrainResult | Exception]:
    return dict(train_together(entries, data, **settings))


@pytest.fixture(scope="module")
def undisturbed(data):
    return together([TrainingEntry(one) for one in RUNS], data, evaluate_every=2)


def close(a: TrainResult, b: TrainResult, within: float) -> bool:
    """Weights, statistics and every number of the history."""
    mine, theirs = a.model.state_dict(), b.model.state_dict()
    far = [
        ((mine[key] - theirs[key]).abs() / theirs[key].abs().clamp(min=1)).max().item()
        for key in theirs
        if theirs[key].dim()
    ]
    numbers = [
        abs(one[key] - other[key])
        for one, other in zip(timeless(a.history), timeless(b.history), strict=True)
        for key in other
    ]
    counters = all(torch.equal(mine[key], theirs[key]) for key in theirs if not theirs[key].dim())
    return list(mine) == list(theirs) and max(far) < within and max(numbers) < within and counters


@pytest.mark.parametrize("groups,epochs,arms", [(3, 10, 2), (8, 2, 2)])
def test_in_double_precision_each_is_the_run_that_it_is_alone(groups, epochs, arms):
    """Up to 30 steps with augmentation, running statistics and evaluation; both arms of a shuffle ablation beside."""
    recipe = RECIPE | {"batch_size": 48, "epochs": epochs, "warmup_epochs": 1.0}
    spec = SPEC | {"train_images": 150}
    runs = [run(one.seed, recipe, spec, groups=groups, shuffle=one.variant.axes["shuffle"]) for one in RUNS[-arms:]]
    data = splits(runs[0].protocol.data)
    with double():
        fused = together([TrainingEntry(one) for one in runs], data, evaluate_every=5)
        for number, one in enumerate(runs):
            alone = train(one, data, evaluate_every=5)
            assert alone.history[-1]["step"] == 3 * epochs
            assert close(fused[number], alone, 1e-10)
            assert abs(fused[number].last.loss - alone.last.loss) < 1e-10


def test_in_single_precision_losses_agree(data):
    """At a rate so small that rounding, which differs between processors, is not blown up within three steps."""
    gentle = RECIPE | {"lr": 0.0001, "epochs": 1}
    runs = [run(one.seed, gentle, SPEC, groups=3, shuffle=one.variant.axes["shuffle"]) for one in RUNS]
    fused = together([TrainingEntry(one) for one in runs], data)
    for number, one in enumerate(runs):
        alone = train(one, data, kernels="reference")  # fused networks are PyTorch's on the CPU
        assert timeless(fused[number].history)[0]["train_loss"] == pytest.approx(
            alone.history[0]["train_loss"], rel=1e-4
        )


def test_the_networks_train_apart(undisturbed):
    assert len({digest(trained) for trained in undisturbed.values()}) == len(RUNS)
    assert sorted(undisturbed) == [0, 1, 2] and all(isinstance(each, TrainResult) for each in undisturbed.values())


@pytest.mark.parametrize("call", [1, 2, 3, 4, 6, 7, 8, 10])
def test_all_stop_at_the_same_step_and_go_on_together(tmp_path, data, undisturbed, call):
    stop = after(3 * call - 1)  # in the middle of the lanes, which ask one after the other
    entries = [TrainingEntry(one, tmp_path / one.run_id, stop=stop) for one in RUNS]
    outcomes = together(entries, data, evaluate_every=2)
    assert sorted(outcomes) == [0, 1, 2] and all(isinstance(each, Stopped) for each in outcomes.values())
    states = [checkpoint.load(entry.checkpoint_path, entry.run.run_id) for entry in entries]
    assert len({(len(state["history"]), (state["meter"] or {"count": 0})["count"]) for state in states}) == 1
    torch.rand(5)
    again = together([replace(entry, stop=lambda: False) for entry in entries], data, evaluate_every=2)
    assert all(same(again[number], undisturbed[number]) for number in range(3))


def test_checkpoints_are_those_of_a_run_alone(tmp_path, data):
    """As large, with the same names and shapes: a fused run may go on alone, and the other way round."""
    alone, fused = tmp_path / "alone", [tmp_path / one.run_id for one in RUNS]
    with pytest.raises(Stopped):
        train(RUNS[0], data, checkpoint_path=alone, stop=after(5))
    together([TrainingEntry(one, path, stop=after(5)) for one, path in zip(RUNS, fused, strict=True)], data)
    assert fused[0].stat().st_size == pytest.approx(alone.stat().st_size, rel=0.01)
    mine, theirs = (checkpoint.load(path, RUNS[0].run_id) for path in (fused[0], alone))
    shapes = [{name: tensor.shape for name, tensor in state["model"].items()} for state in (mine, theirs)]
    assert shapes[0] == shapes[1]
    with double():
        for path in (alone, fused[0]):
            assert train(RUNS[0], data, checkpoint_path=path).history[-1]["step"] == STEPS


def test_runs_of_unequal_progress_train_one_group_after_the_other(tmp_path, data, monkeypatch):
    entries = [TrainingEntry(one, tmp_path / one.run_id) for one in RUNS]
    with pytest.raises(Stopped):
        train(RUNS[1], data, checkpoint_path=entries[1].checkpoint_path, stop=after(6))
    formed = []
    form = run_group.RunGroup._build_step
    monkeypatch.setattr(run_group.RunGroup, "_build_step", lambda it: (formed.append(len(it.runs)), form(it))[1])
    with double():
        outcomes = together(entries, data)
        assert formed == [1, 2]
        for number in (0, 2):
            assert close(outcomes[number], train(RUNS[number], data), 1e-10)


@pytest.fixture
def poisoned(monkeypatch):
    """Seed 1 starts with a weight that is not a number."""

    def build(one, folders):
        net = build_model(one, folders)
        if one.seed == 1:
            net.stage3[1].conv1.weight.data[0, 0] = float("nan")
        return net

    monkeypatch.setattr(trainer, "build_model", build)


def test_one_that_diverges_leaves_and_the_others_go_on(poisoned, data):
    told = {number: [] for number in range(3)}
    entries = [TrainingEntry(one, observe=told[number].append) for number, one in enumerate(RUNS)]
    with double():
        outcomes = together(entries, data)
        assert isinstance(outcomes[1], Diverged) and "step 1 of 9 (epoch 1)" in str(outcomes[1])
        assert next(iter(outcomes)) == 1, "known as soon as it has happened"
        for number in (0, 2):
            assert close(outcomes[number], train(RUNS[number], data), 1e-10)
    assert told[0][0] == {"kernels": "pytorch"}, "no compiled kernels for fused networks on the CPU"
    assert told[0][1] == {"fused_with": [one.run_id for one in RUNS]}


class Broken(Exception):
    pass


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_one_whose_files_cannot_be_written_leaves_and_the_others_go_on(data, epoch, undisturbed):
    def observe(event):
        if len(event.get("history", [])) == epoch:
            raise Broken

    entries = [
        TrainingEntry(one, observe=observe if number == 0 else lambda event: None) for number, one in enumerate(RUNS)
    ]
    with double():
        outcomes = together(entries, data, evaluate_every=2)
        assert isinstance(outcomes[0], Broken)
        for number in (1, 2):
            assert close(outcomes[number], train(RUNS[number], data, evaluate_every=2), 1e-10)


def test_all_may_leave_one_after_the_other(data):
    def breaks_at(step):
        seen = []

        def stop():
            seen.append(1)
            if len(seen) == step:
                raise Broken
            return False

        return stop

    outcomes = together([TrainingEntry(one, stop=breaks_at(2 + number)) for number, one in enumerate(RUNS)], data)
    assert list(outcomes) == [0, 1, 2] and all(isinstance(each, Broken) for each in outcomes.values())


def test_one_may_leave_before_the_first_step(data):
    def observe(event):
        if "fused_with" in event:
            raise Broken

    entries = [
        TrainingEntry(one, observe=observe if number == 1 else lambda event: None) for number, one in enumerate(RUNS)
    ]
    outcomes = together(entries, data)
    assert isinstance(outcomes[1], Broken) and all(isinstance(outcomes[n], TrainResult) for n in (0, 2))


@pytest.mark.parametrize("key", ["fused_with", "history"])
def test_all_may_leave_at_once(data, key):
    """Before the first step, or when an epoch's numbers are written."""

    def observe(event):
        if key in event:
            raise Broken

    outcomes = together([TrainingEntry(one, observe=observe) for one in RUNS], data)
    assert sorted(outcomes) == [0, 1, 2] and all(isinstance(each, Broken) for each in outcomes.values())


def test_what_concerns_all_is_raised(data, monkeypatch):
    def out_of_memory(*_):
        raise torch.OutOfMemoryError("no memory left")

    monkeypatch.setattr("ablations.training.step.EagerStep.__call__", out_of_memory)
    with pytest.raises(torch.OutOfMemoryError):
        together([TrainingEntry(one) for one in RUNS], data)


def test_the_blog_variant_trains_alone(data):
    blog = [replace(one, variant=replace(one.variant, structure="blog")) for one in RUNS[:2]]
    outcomes = together([TrainingEntry(one) for one in blog], data)
    assert digest(outcomes[0]) == digest(train(blog[0], data))


def test_where_triton_cannot_run_plain_pytorch_trains_and_says_why(monkeypatch):
    """Without a C compiler the first launch of a kernel fails, long after the import."""
    from model import gpu

    def check():
        raise RuntimeError("Failed to find C compiler. Please specify via CC environment variable.\nmore")

    monkeypatch.setattr(gpu, "check", check)
    run_group.triton_failure.cache_clear()
    with pytest.warns(UserWarning, match="do not run here .*Failed to find C compiler"):
        assert run_group.fast_ops(torch.device("cuda")) is run_group.REFERENCE
    assert run_group.triton_failure() == (
        "RuntimeError: Failed to find C compiler. Please specify via CC environment variable."
    )
    run_group.triton_failure.cache_clear()


def test_the_provenance_of_a_run_says_that_triton_failed(data, monkeypatch):
    told = []
    monkeypatch.setattr(run_group, "triton_failure", lambda: "RuntimeError: no compiler")
    group = run_group.RunGroup
    build = group._build_step

    def on_a_gpu(self):
        self.device = torch.device("cuda")
        monkeypatch.setattr(run_group, "fast_ops", lambda device: run_group.REFERENCE)
        monkeypatch.setattr(run_group, "CudaGraphStep", Launched)
        found = build(self)
        self.device = torch.device("cpu")
        return found

    monkeypatch.setattr(group, "_build_step", on_a_gpu)
    together([TrainingEntry(one, observe=told.append) for one in RUNS[:2]], data)
    assert told[0] == {"kernels": "pytorch (Triton failed: RuntimeError: no compiler)"}


@pytest.mark.parametrize("pixels", [1, 1 << 30])
def test_runs_evaluated_in_one_pass_are_those_evaluated_alone(data, undisturbed, monkeypatch, pixels):
    """As on a GPU; in batches of the fewest images, and in one."""
    passes = []
    whole = trainer.evaluate_together
    monkeypatch.setattr(trainer, "evaluate_together", lambda *what: passes.append(1) or whole(*what))
    monkeypatch.setattr(run_group.RunGroup, "evaluates_together", property(lambda group: group.fused_net is not None))
    monkeypatch.setattr(evaluate, "TOGETHER", pixels)
    monkeypatch.setattr(evaluate, "FEWEST", 7)
    found = together([TrainingEntry(one) for one in RUNS], data, evaluate_every=2)
    assert len(passes) == 2
    for number, trained in undisturbed.items():
        assert digest(found[number]) == digest(trained), "evaluation leaves the network in training"
        assert found[number].last.loss == pytest.approx(trained.last.loss, rel=1e-4)
        assert (found[number].last.correct == trained.last.correct).mean() > 0.95
        assert abs(found[number].last.top5_error - trained.last.top5_error) < 0.05


def test_asked_to_stop_in_the_common_evaluation_all_stop_before_it(tmp_path, data, monkeypatch):
    monkeypatch.setattr(run_group.RunGroup, "evaluates_together", property(lambda group: group.fused_net is not None))
    stop = after(3 * 6 + 1)  # three runs, two epochs of three steps, and the first batch of evaluation
    entries = [TrainingEntry(one, tmp_path / one.run_id, stop=stop) for one in RUNS]
    outcomes = together(entries, data, evaluate_every=2)
    assert all(isinstance(each, Stopped) for each in outcomes.values()) and len(outcomes) == 3
    states = [checkpoint.load(entry.checkpoint_path, entry.run.run_id) for entry in entries]
    assert [(len(state["history"]), state["meter"]["count"]) for state in states] == [(1, 3)] * 3


@pytest.mark.parametrize("every,epochs_saved", [(1e9, 0), (0, 2)])
def test_on_a_gpu_a_checkpoint_is_written_when_it_is_due(tmp_path, data, monkeypatch, every, epochs_saved):
    """Not after each of a group's epochs, which last a second there."""
    saves = []
    monkeypatch.setattr(checkpoint, "save", lambda path, state: saves.append(state["meter"]))
    end = trainer._after_epoch

    def on_a_gpu(group, *what):
        device, group.device = group.device, torch.device("cuda")
        monkeypatch.setattr(run_group.RunGroup, "evaluates_together", False)
        end(group, *what)
        group.device = device

    monkeypatch.setattr(trainer, "_after_epoch", on_a_gpu)
    together([TrainingEntry(one, tmp_path / one.run_id) for one in RUNS[:2]], data, checkpoint_every=every)
    assert saves.count(None) == 2 * epochs_saved
