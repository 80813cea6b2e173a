"""Augmentation: per sample, the same for every cell of a seed, and each effect what its name says."""

import pytest
import torch

from ablations.training.input.augment import augment, centre, draw_epoch, generator
from tests.make import RECIPE, run


def recipe(**changes):
    return run(recipe=changes).protocol.recipe


@pytest.fixture
def images():
    return torch.randint(0, 256, (6, 12, 12, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_draws_depend_on_seed_and_epoch_alone():
    once, again = draw_epoch(3, 1, 50), draw_epoch(3, 1, 50)
    assert torch.equal(once.order, again.order) and torch.equal(once.unit, again.unit)
    assert sorted(once.order.tolist()) == list(range(50))
    assert not torch.equal(once.order, draw_epoch(3, 2, 50).order)
    assert not torch.equal(once.order, draw_epoch(4, 1, 50).order)


def test_purposes_do_not_share_random_numbers():
    assert generator(0, "weights").initial_seed() != generator(0, "epoch 0").initial_seed()


def test_no_augmentation_moves_nothing(images):
    out = augment(images, torch.rand(6, 8), RECIPE, 12)
    assert out.dtype == torch.uint8 and torch.equal(out, images)


def test_centre_takes_the_middle(images):
    assert torch.equal(centre(images, 8), images[:, 2:10, 2:10])


def test_pad_crop_flip_equals_the_written_out_way(images):
    """One gather against padding, slicing and flipping each image by itself."""
    unit = torch.rand(6, 8, generator=torch.Generator().manual_seed(1))
    out = augment(images, unit, recipe(crop="pad", pad=3, flip=True), 12)
    for k in range(6):
        padded = torch.zeros(18, 18, 3, dtype=torch.uint8)
        padded[3:15, 3:15] = images[k]
        top, left = int(unit[k, 0] * 7), int(unit[k, 1] * 7)
        expected = padded[top : top + 12, left : left + 12]
        if unit[k, 2] < 0.5:
            expected = expected.flip(1)
        assert torch.equal(out[k], expected), k


def test_every_offset_occurs(images):
    unit = torch.zeros(6, 8)
    unit[:, 0] = torch.tensor([0.0, 0.999999, 0.5, 0.0, 0.999999, 0.5])
    unit[:, 2] = 1.0
    out = augment(images, unit, recipe(crop="pad", pad=4, flip=True), 12)
    assert out[0, :4].sum() == 0 and out[1, -4:].sum() == 0


def test_flip_without_crop(images):
    unit = torch.zeros(6, 8)
    unit[3:, 2] = 1.0
    out = augment(images, unit, recipe(flip=True), 12)
    assert torch.equal(out[:3], images[:3].flip(2)) and torch.equal(out[3:], images[3:])


def test_resized_crop_of_the_whole_is_the_image(images):
    unit = torch.full((6, 8), 0.5)
    unit[:, 2] = 1.0
    out = augment(images, unit, recipe(crop="resized", flip=True), 12)
    assert torch.allclose(out, images.float(), atol=1e-2)


def test_resized_crop_of_a_quarter_stays_inside_and_differs_by_sample(images):
    ramp = torch.arange(12, dtype=torch.uint8).mul(20).view(1, 1, 12, 1).expand(6, 12, 12, 3).contiguous()
    unit = torch.full((6, 8), 0.5)
    unit[:, 2] = 1.0
    unit[0, 1], unit[1, 1] = 0.0, 1.0
    out = augment(ramp, unit, recipe(crop="resized", area=(0.25, 0.25), flip=True), 12)
    left, right, middle = out[0, 0, :, 0], out[1, 0, :, 0], out[2, 0, :, 0]
    assert left.max() < right.min() + 21 and left.mean() < middle.mean() < right.mean()
    assert left[0] < left[-1]


def test_jitter_is_per_sample_and_bounded(images):
    unit = torch.full((6, 8), 0.5)
    unit[1, 5] = 0.0
    out = augment(images, unit, recipe(jitter=0.4), 12)
    assert torch.allclose(out[0], images[0].float(), atol=1e-3)
    assert torch.allclose(out[1], images[1].float() * 0.6, atol=1e-3)
    wild = augment(images, torch.rand(6, 8), recipe(jitter=0.9), 12)
    assert wild.min() >= 0 and wild.max() <= 255
