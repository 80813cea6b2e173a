"""A run stopped at any step and started again is the same run, bit for bit; a damaged checkpoint is never believed."""

import pytest
import torch

from ablations.core.signals import Stopped
from ablations.training import checkpoint
from ablations.training.metrics import EpochMeter
from tests.make import run, splits, train
from tests.training.test_trainer import digest, timeless

RUN = run(groups=3, recipe={"epochs": 3, "crop": "pad", "pad": 2, "flip": True, "label_smoothing": 0.1})
STEPS = 12


@pytest.fixture(scope="module")
def data():
    return splits(RUN.protocol.data)


@pytest.fixture(scope="module")
def whole(data):
    return train(RUN, data, evaluate_every=2)


def after(calls: int):
    """A `stop` that says yes at its nth call and ever after."""
    asked = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) >= calls

    return stop


def same(a, b) -> bool:
    return (
        digest(a) == digest(b)
        and timeless(a.history) == timeless(b.history)
        and bool((a.last.correct == b.last.correct).all())
        and a.last.loss == b.last.loss
    )


# One call a step, and one for each evaluation: after epochs 2 and 3 (calls 9 and 14).
@pytest.mark.parametrize("call", [1, 3, 4, 5, 8, 9, 10, 13, 14])
def test_stopped_after_any_step_or_inside_an_evaluation(tmp_path, data, whole, call):
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(Stopped):
        train(RUN, data, "cpu", path, 2, stop=after(call))
    torch.rand(7)  # whatever else the process does in between
    assert same(train(RUN, data, "cpu", path, 2), whole)


def test_stopped_at_every_single_step(tmp_path, data, whole):
    path = tmp_path / "checkpoint.pt"
    ends = 0
    for _ in range(2 * STEPS):
        try:
            trained = train(RUN, data, "cpu", path, 2, stop=after(1))
            break
        except Stopped:
            ends += 1
            if ends >= STEPS + 2:  # an evaluation is one batch: it is let through
                trained = train(RUN, data, "cpu", path, 2)
                break
    assert ends >= STEPS and same(trained, whole)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("step", [2, 6, 11])
def test_killed_between_checkpoints_inside_an_epoch(tmp_path, data, whole, step, monkeypatch):
    """With a checkpoint after each step, and the process gone without a word at a later one."""
    path = tmp_path / "checkpoint.pt"
    update = EpochMeter.update

    def dies(self, *arguments):
        if self.done + self.count == step:
            raise Killed
        return update(self, *arguments)

    monkeypatch.setattr(EpochMeter, "update", dies)
    with pytest.raises(Killed):
        train(RUN, data, "cpu", path, 2, checkpoint_every=0)
    monkeypatch.undo()
    left = checkpoint.load(path, RUN.run_id)
    assert left and (left["meter"] or {"count": 0})["count"] == step % 4
    assert same(train(RUN, data, "cpu", path, 2), whole)


def test_time_between_checkpoints_is_kept(tmp_path, data, monkeypatch):
    saves = []
    monkeypatch.setattr(checkpoint, "save", lambda path, state: saves.append(state["meter"]))
    train(RUN, data, "cpu", tmp_path / "checkpoint.pt", checkpoint_every=1e9)
    assert saves == [None, None], "between epochs; none inside, none after the last"
    saves.clear()
    train(RUN, data, "cpu", tmp_path / "checkpoint.pt", checkpoint_every=0)
    assert [state["count"] for state in saves if state] == [1, 2, 3, 4] * 3


def test_a_bit_flipped_anywhere_is_seen_and_the_one_before_is_used(tmp_path, data, whole):
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(Stopped):
        train(RUN, data, "cpu", path, 2, stop=after(7), checkpoint_every=0)
    whole_file, older = path.read_bytes(), checkpoint.load(path.with_name("checkpoint.pt.previous"), RUN.run_id)
    assert older and older["meter"]["count"] == 2
    unseen = 0
    for k in range(0, len(whole_file), len(whole_file) // 30):
        path.write_bytes(whole_file[:k] + bytes([whole_file[k] ^ 16]) + whole_file[k + 1 :])
        found = checkpoint.load(path, RUN.run_id)
        assert found and found["meter"]["count"] in (2, 3)
        # Some bytes of a zip file mean nothing (padding, dates): then the state is whole, and its digest says so.
        unseen += found["meter"]["count"] == 3
    assert unseen < 10
    for length in range(0, len(whole_file), len(whole_file) // 20):
        path.write_bytes(whole_file[:length])
        assert checkpoint.load(path, RUN.run_id)["meter"]["count"] == 2
    assert same(train(RUN, data, "cpu", path, 2), whole)


def test_a_pickle_that_runs_code_is_not_loaded(tmp_path):
    import pickle

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "owned"), "w"))

    path = tmp_path / "checkpoint.pt"
    torch.save({"run_id": RUN.run_id, "x": Evil()}, path)
    assert checkpoint.load(path, RUN.run_id) is None
    path.write_bytes(pickle.dumps(Evil(), protocol=2))
    assert checkpoint.load(path, RUN.run_id) is None
    assert not (tmp_path / "owned").exists()


def test_global_random_numbers_are_restored_and_not_used(tmp_path, data, whole):
    torch.manual_seed(99)
    assert same(train(RUN, data, evaluate_every=2), whole)
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(Stopped):
        train(RUN, data, "cpu", path, stop=after(2))
    expected = torch.rand(3)
    torch.manual_seed(5)
    with pytest.raises(Stopped):
        train(RUN, data, "cpu", path, stop=after(1))
    assert torch.equal(torch.rand(3), expected)


def test_a_failed_write_leaves_the_checkpoints_there_were(tmp_path, data, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(Stopped):
        train(RUN, data, "cpu", path, stop=after(2))

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError):
        train(RUN, data, "cpu", path, stop=after(1))
    monkeypatch.undo()
    assert checkpoint.load(path, RUN.run_id)["meter"]["count"] == 2
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]


@pytest.mark.parametrize("save", [checkpoint.save, lambda path, _: checkpoint.save_weights(path, "", torch.nn.ReLU())])
def test_a_failed_write_lets_go_of_its_buffer(tmp_path, monkeypatch, save):
    """Held by frames in a cycle, the buffer would end Python 3.12.1 with a segmentation fault."""
    held = []

    def full(path, content, keep):
        held.append(content)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "write", full)
    with pytest.raises(OSError):
        save(tmp_path / "checkpoint.pt", {"run_id": "a"})
    with pytest.raises(ValueError, match="released"):
        held[0][0]


def test_a_state_on_a_device_comes_over_in_one_copy_for_each_type(monkeypatch):
    """Here the meta device stands for a GPU: what is copied is made up, how often and where to is not."""
    copied = []

    def copy(tensors):
        copied.append([tensor.dtype for tensor in tensors])
        return [torch.full(tensor.shape, len(copied), dtype=tensor.dtype) for tensor in tensors]

    monkeypatch.setattr(checkpoint, "in_one_copy", copy)
    on = {"device": "meta"}
    state = {
        "model": {"weight": torch.empty(2, 3, **on), "count": torch.empty((), dtype=torch.int64, **on)},
        "momenta": [[torch.empty(4, **on)], []],
        "random": torch.arange(3),
        "seconds": 1.5,
    }
    found = checkpoint.on_cpu(state)
    assert copied == [[torch.float32, torch.float32], [torch.int64]]
    assert found["model"]["weight"].tolist() == [[1.0] * 3] * 2 and found["model"]["count"].item() == 2
    assert found["momenta"][0][0].tolist() == [1.0] * 4 and found["momenta"][1] == []
    assert found["random"] is state["random"] and found["seconds"] == 1.5
    on_cpu = {"weight": torch.ones(2)}
    assert checkpoint.on_cpu(on_cpu) is on_cpu and len(copied) == 2, "nothing to copy"


def test_one_copy_keeps_values_and_shapes_whatever_the_memory_format():
    tensors = [torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last), torch.tensor(3.0), torch.randn(5)]
    copies = checkpoint.in_one_copy(tensors)
    assert all(torch.equal(a, b) and a.shape == b.shape for a, b in zip(tensors, copies, strict=True))
    assert len({copy.untyped_storage().data_ptr() for copy in copies}) == 1
