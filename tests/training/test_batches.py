"""Batches come from the rows that the protocol trains on, in the drawn order; nothing whole is copied."""

from dataclasses import replace

import numpy as np
import torch

from ablations.training.input.augment import draw_epoch
from ablations.training.input.batches import to_batch_loader
from tests.make import run
from tests.training.test_trainer import splits

RUN = run(data={"train_images": 64})
CPU = torch.device("cpu")


def subset():
    """Every third training image, and the evaluated images backwards out of order."""
    whole = splits(RUN.protocol.data)
    return replace(whole, train_index=np.arange(0, 64, 3), eval_index=np.array([5, 2, 9]))


def test_a_batch_holds_the_drawn_rows_of_the_subset():
    data = subset()
    loader = to_batch_loader(data, CPU)
    randomness = draw_epoch(0, 0, len(data.train_index))
    x, y = loader.batch(randomness, slice(4, 9), RUN.protocol)
    rows = data.train_index[randomness.order[4:9].numpy()]
    assert np.array_equal(x.numpy(), data.train_images[rows]) and y.tolist() == data.train_labels[rows].tolist()


def test_an_epoch_visits_each_image_of_the_subset_once():
    data = subset()
    loader = to_batch_loader(data, CPU)
    randomness = draw_epoch(1, 3, len(data.train_index))
    x, _ = loader.batch(randomness, slice(0, 22), RUN.protocol)
    seen = {image.numpy().tobytes() for image in x}
    assert seen == {data.train_images[row].tobytes() for row in data.train_index}


def test_evaluated_rows_are_the_selected_ones():
    data = subset()
    loader = to_batch_loader(data, CPU)
    assert np.array_equal(loader.eval_images.numpy(), data.eval_images[[5, 2, 9]])
    assert loader.eval_labels.tolist() == data.eval_labels[[5, 2, 9]].tolist()


def test_on_the_cpu_the_set_is_not_copied():
    data = splits(RUN.protocol.data)
    loader = to_batch_loader(data, CPU)
    assert loader.train_images.data_ptr() == data.train_images.ctypes.data
    assert loader.eval_images.data_ptr() == data.eval_images.ctypes.data


def test_an_accelerator_holds_the_subset_alone_and_gives_the_same_labels(monkeypatch):
    """The meta device stands for one: shapes are what a GPU would hold."""
    loader = to_batch_loader(subset(), torch.device("meta"))
    assert loader.train_images.shape[0] == len(loader.train_index) == 22 and loader.train_images.device.type == "meta"
    monkeypatch.setattr("ablations.training.input.batches.ON_DEVICE_BYTES", 10)
    large = to_batch_loader(subset(), torch.device("meta"))
    assert large.train_images.shape[0] == 64 and large.train_images.device.type == "cpu"
    assert large.train_index.tolist() == list(range(0, 64, 3))
