"""Crops out of whole images: where they lie, what they show, and that input ahead of time is the input it would be."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ablations.data import Splits
from ablations.data.ragged import RaggedImages
from ablations.training.input.augment import _jitter, draw_epoch
from ablations.training.input.batches import to_batch_loader
from ablations.training.input.color_jitter import jitter
from ablations.training.input.prefetch import DEPTH, Prefetcher
from ablations.training.input.random_crops import boxes, cut
from tests.make import run, train
from tests.sweeps import until

CPU = torch.device("cpu")
SIZES = ((20, 26), (31, 20), (20, 20), (20, 47))


def images(count=16):
    """Images of four sizes in two shards."""
    source = np.random.default_rng(0)
    sizes = np.array([SIZES[k % 4] for k in range(count)])
    parts = [sizes[: count // 2], sizes[count // 2 :]]
    files = [source.integers(0, 256, int(part.prod(1).sum()) * 3, dtype=np.uint8) for part in parts]
    return RaggedImages(files, parts)


def splits(count=16):
    whole = images(count)
    squares = np.random.default_rng(1).integers(0, 256, (8, 20, 20, 3), dtype=np.uint8)
    stats = np.full(3, 127, np.float32), np.full(3, 60, np.float32)
    labels = np.arange(count) % 4
    return Splits(whole, labels, np.arange(1, count), squares, labels[:8], np.arange(8), (), *stats)


RECIPE = {"crop": "resized", "area": (0.25, 1.0), "flip": True, "jitter": 0.4, "batch_size": 4, "lr": 0.01}
SPEC = {"cache_resolution": 20, "channels": 3, "train_images": 15, "test_images": 8}


def described(**recipe):
    one = run(recipe={**RECIPE, **recipe}, data=SPEC)
    return replace(one, protocol=replace(one.protocol, resolution=16))


def test_views_of_the_shards_follow_one_another():
    whole = images()
    rows = [whole[k] for k in range(16)]
    assert [row.shape[:2] for row in rows] == [SIZES[k % 4] for k in range(16)]
    assert np.array_equal(np.concatenate([row.ravel() for row in rows]), np.concatenate(whole.files))


def test_boxes_lie_inside_and_have_the_drawn_area():
    sizes = np.tile(np.array([(256, 341), (400, 256), (256, 256), (256, 1024)]), (2000, 1))
    unit = torch.rand(len(sizes), 8, generator=torch.Generator().manual_seed(0)).numpy()
    top, left, height, width = boxes(sizes, unit, (0.25, 1.0)).T
    assert (top >= 0).all() and (left >= 0).all() and (height >= 1).all() and (width >= 1).all()
    assert (top + height <= sizes[:, 0]).all() and (left + width <= sizes[:, 1]).all()
    shares = height * width / sizes.prod(1)
    assert np.abs(shares - (0.25 + 0.75 * unit[:, 3])).max() < 0.01
    fits = (shares < 0.5) & (sizes.max(1) / sizes.min(1) < 1.4)
    ratios = (width / height)[fits]
    assert ratios.min() > 0.73 and ratios.max() < 1.37 and np.abs(np.log(ratios).mean()) < 0.02
    lowest, highest = (top / np.maximum(sizes[:, 0] - height, 1))[shares < 0.5].min(), (top + height)[::4].max()
    assert lowest < 0.01 and highest == 256, "crops reach every edge"


def test_a_crop_is_what_torchvision_would_make_of_the_same_box():
    from torchvision.transforms.v2 import functional

    whole, recipe = images(), described().protocol.recipe
    rows = np.array([3, 8, 1, 14, 5, 6])
    unit = torch.rand(6, 8, generator=torch.Generator().manual_seed(2))
    into = torch.empty(6, 16, 16, 3, dtype=torch.uint8)
    cut(whole, rows, unit, recipe, into)
    for k, (row, box) in enumerate(zip(rows, boxes(whole.sizes[rows], unit.numpy(), recipe.area), strict=True)):
        image = torch.from_numpy(whole[row].copy()).permute(2, 0, 1)
        expected = functional.resized_crop(image, *box.tolist(), [16, 16], antialias=True)
        expected = expected.flip(2) if unit[k, 2] < 0.5 else expected
        assert torch.equal(into[k], expected.permute(1, 2, 0)), k


def test_without_a_crop_the_centre_is_taken():
    whole, into = images(), torch.empty(2, 16, 16, 3, dtype=torch.uint8)
    cut(whole, np.array([0, 1]), torch.ones(2, 8), described(crop="none").protocol.recipe, into)
    assert np.array_equal(into[0].numpy(), whole[0][2:18, 5:21]) and np.array_equal(
        into[1].numpy(), whole[1][7:23, 2:18]
    )
    assert np.array_equal(into.numpy(), whole.centres(np.array([0, 1]), 16))


@pytest.mark.parametrize("strength", [0.4, 1.0])
def test_jitter_is_that_of_small_images_but_for_rounding(strength):
    pixels = torch.randint(0, 256, (5, 30, 40, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    unit = torch.rand(5, 8, generator=torch.Generator().manual_seed(1))
    found = jitter(pixels, unit, strength)
    assert found.dtype == torch.uint8
    assert (found.float() - _jitter(pixels.float(), unit, strength)).abs().max() <= 0.501
    large = pixels.repeat(1, 12, 12, 1)  # of which a CPU takes one at a time
    assert torch.equal(jitter(large, unit, strength)[:, :30, :40], found)


def test_batches_hold_the_drawn_images_and_do_not_depend_on_what_was_asked_before():
    protocol, data = described().protocol, splits()
    randomness = draw_epoch(0, 0, 15)
    in_order = to_batch_loader(data, CPU)
    batches = [in_order.batch(randomness, slice(k, k + 5), protocol) for k in (0, 5, 10)]
    for k in (10, 0, 5):
        alone = to_batch_loader(data, CPU)
        pixels, labels = alone.batch(randomness, slice(k, k + 5), protocol)
        assert torch.equal(pixels, batches[k // 5][0]) and torch.equal(labels, batches[k // 5][1])
        again, _ = in_order.batch(randomness, slice(k, k + 5), protocol)
        assert torch.equal(again, pixels)
        assert labels.tolist() == data.train_labels[data.train_index[randomness.order[k : k + 5].numpy()]].tolist()
        into = torch.empty(5, 16, 16, 3, dtype=torch.uint8)
        unit = randomness.unit[k : k + 5]
        cut(data.train_images, data.train_index[randomness.order[k : k + 5].numpy()], unit, protocol.recipe, into)
        assert torch.equal(pixels, jitter(into, unit, 0.4))


def test_batches_are_made_ahead_but_never_past_the_epoch():
    made = []

    def fill(order, unit, protocol, into):
        made.append(order.tolist())
        into.zero_()

    ahead = Prefetcher(fill, lambda protocol: (2, 2, 3), CPU)
    randomness, protocol = draw_epoch(0, 0, 10), described().protocol
    ahead.batch(randomness, slice(0, 2), protocol)
    until(lambda: len(made) > DEPTH, 20, "batches are made ahead")
    assert made == [randomness.order[k : k + 2].tolist() for k in range(0, 2 + 2 * DEPTH, 2)]
    for k in range(2, 10, 2):
        ahead.batch(randomness, slice(k, k + 2), protocol)
    assert sorted(row for rows in made for row in rows) == list(range(10))
    other = draw_epoch(0, 1, 10)
    ahead.batch(other, slice(0, 2), protocol)
    assert other.order[:2].tolist() in made


def test_what_goes_wrong_ahead_is_raised_where_the_batch_is_asked_for():
    def fill(order, unit, protocol, into):
        if 3 in order:
            raise OSError("the disk is gone")

    ahead = Prefetcher(fill, lambda protocol: (2, 2, 3), CPU)
    randomness = replace(draw_epoch(0, 0, 4), order=torch.arange(4))
    ahead.batch(randomness, slice(0, 2), described().protocol)
    with pytest.raises(OSError, match="the disk is gone"):
        ahead.batch(randomness, slice(2, 4), described().protocol)


def test_a_large_set_of_squares_travels_to_an_accelerator_ahead_of_each_step(monkeypatch):
    """The meta device stands for one."""
    monkeypatch.setattr("ablations.training.input.batches.ON_DEVICE_BYTES", 10)
    squares = np.random.default_rng(0).integers(0, 256, (16, 20, 20, 3), dtype=np.uint8)
    loader = to_batch_loader(replace(splits(), train_images=squares), torch.device("meta"))
    randomness = draw_epoch(0, 0, 15)
    found = loader.prefetcher.batch(randomness, slice(0, 4), described().protocol)
    assert np.array_equal(found.numpy(), squares[1:][randomness.order[:4].numpy()])


def test_a_network_trains_on_whole_images_the_same_each_time():
    one = described()
    first, again = (train(one, splits()) for _ in range(2))
    assert first.history[-1]["train_loss"] == again.history[-1]["train_loss"] and first.last.error == again.last.error
    assert np.isfinite(first.history[-1]["train_loss"]) and len(first.last.correct) == 8
