"""The reference loop learns by the recipe that the trainer learns by: else a comparison of their speed says nothing."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from torch import nn

from ablations.core.run_spec import Run
from ablations.data import Splits
from ablations.training import trainer
from ablations.training.input.augment import draw_epoch
from ablations.training.optimizer import Sgd, learning_rate
from benchmarks import networks, reference_loop
from benchmarks.reference_settings import SHARED, Settings
from model.cost import independent_macs
from model.widths import stage_channels
from tests import make
from tests.golden.numerics import _double as double

GRID = [(g, w) for w in (0.25, 0.5, 1.0) for g in (1, 2, 3, 4, 8)]
RECIPE = replace(make.RECIPE, epochs=2, lr=0.05, weight_decay=0.05, label_smoothing=0.1, warmup_epochs=0.5)


def settings(recipe=RECIPE, **what) -> Settings:
    return Settings(**{key: getattr(recipe, key) for key in SHARED}, pad=recipe.pad, **what)


class Small(nn.Module):
    """Every kind of layer that a recipe could treat in its own way."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 3, bias=True), nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, groups=8, bias=False)
        self.classifier = nn.Linear(8, 5)

    def forward(self, x):
        return self.classifier(self.depthwise(self.norm(self.stem(x)).relu()).mean((2, 3)))


@pytest.mark.parametrize("nesterov", [True, False])
def test_steps_of_both_are_equal_in_float64(nesterov):
    recipe = replace(RECIPE, nesterov=nesterov)
    torch.manual_seed(0)
    usual = Small().double()
    own = Small().double()
    own.load_state_dict(usual.state_dict())
    source = torch.Generator().manual_seed(1)
    batches = [(torch.randn(6, 3, 8, 8, generator=source).double(), torch.arange(6) % 5) for _ in range(8)]

    sgd, loss_of = Sgd(own, recipe), nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    for k, (x, y) in enumerate(batches * recipe.epochs):
        loss_of(own(x), y).backward()
        sgd.step(learning_rate(k, recipe.epochs * len(batches), round(recipe.warmup_epochs * len(batches)), recipe.lr))

    reference_loop.train(usual, batches, settings(recipe))
    for (name, a), b in zip(usual.state_dict().items(), own.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12, msg=name)


def test_the_schedules_are_the_same_at_every_step():
    optimizer = reference_loop.make_optimizer(Small(), settings())
    schedule = reference_loop.make_schedule(optimizer, 20, 5)
    for step in range(20):
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx(
            [learning_rate(step, 20, 5, 0.05)] * 2
        )
        optimizer.step()
        schedule.step()


def test_a_whole_training_of_both_moves_all_weights_alike():
    """From the weights and batches of the trainer, in float64: the rest of the loop is the trainer's, too.

    In float32 a step this small is near the rounding of the weights, which differs between processors.
    """
    recipe = replace(RECIPE, lr=1e-5, weight_decay=5.0)
    data = replace(make.DATA, channels=3, train_images=48, classes=4)
    one = make.run(recipe=asdict(recipe), data=asdict(data), groups=2)
    pixels, labels = make.pixels(data, 48)
    mean, std = np.full(3, 110.0, np.float32), np.full(3, 60.0, np.float32)
    splits = Splits(pixels, labels, np.arange(48), pixels, labels, np.arange(20), tuple("abcd"), mean, std)
    with double():
        trained = make.train(one, splits, kernels="reference")
        usual = trainer.build_model(one)
        start = {name: parameter.detach().clone() for name, parameter in usual.named_parameters()}
        reference_loop.train(usual, Batches(one, pixels, labels, mean, std), settings(recipe))
    for (name, a), b in zip(usual.named_parameters(), trained.model.parameters(), strict=True):
        if name.endswith("bn2.bias"):
            continue  # the BatchNorm behind the next convolution takes it away again: its gradient is rounding
        mine, theirs = a.detach() - start[name], b.detach() - start[name]
        assert (mine - theirs).norm() <= 0.03 * theirs.norm(), name


class Batches:
    """A loader that gives the batches that the trainer draws."""

    def __init__(self, run: Run, pixels, labels, mean, std) -> None:
        self.run, self.epoch = run, 0
        self.x = torch.from_numpy((pixels - mean) / std).permute(0, 3, 1, 2).to(torch.get_default_dtype())
        self.y = torch.from_numpy(labels)

    def __len__(self) -> int:
        return len(self.y) // self.run.protocol.recipe.batch_size

    def __iter__(self):
        order = draw_epoch(self.run.seed, self.epoch, len(self.y)).order
        self.epoch += 1
        size = self.run.protocol.recipe.batch_size
        for k in range(len(self)):
            rows = order[k * size : (k + 1) * size]
            yield self.x[rows], self.y[rows]


@pytest.mark.parametrize(("groups", "width"), GRID)
def test_pytorchcvs_networks_cost_what_ours_do_as_far_as_they_can_be_built(groups, width):
    pytest.importorskip("pytorchcv")
    ours, theirs = (networks.build(name, groups, width, 10, "stride1") for name in ("shufflenet", "pytorchcv"))
    wanted, found = (independent_macs(net, (3, 32, 32)) for net in (ours, theirs))
    if networks.pytorchcv_channels(groups, width) == list(stage_channels(groups, width)):
        params = [sum(map(torch.numel, net.parameters())) for net in (ours, theirs)]
        assert found == wanted and params[0] == params[1]
    else:
        assert width < 1 and abs(found / wanted - 1) < 0.09


def test_all_networks_give_logits():
    pytest.importorskip("pytorchcv")
    for name in ("shufflenet", "pytorchcv", "blog"):
        scores = networks.build(name, 3, 0.25, 10, "stride1")(torch.randn(2, 3, 32, 32))
        assert scores.shape == (2, 10) and not torch.allclose(scores.sum(1), torch.ones(2))


def test_the_loader_takes_the_chosen_images_as_the_harness_normalises_them(tmp_path, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    mean, std = pixels.mean((0, 1, 2)), pixels.std((0, 1, 2))
    np.savez(tmp_path / "images.npz", train=np.arange(0, 12, 2), test=np.array([3, 7]), mean=mean, std=std)
    monkeypatch.setattr(reference_loop, "CIFAR10", fake_cifar(pixels))
    what = settings(replace(RECIPE, batch_size=4, flip=True, pad=4), workers=0)
    what.data, what.images = str(tmp_path), str(tmp_path / "images.npz")
    train, test = reference_loop.make_loaders(what)
    ((x, y),) = list(train)  # the last, smaller batch is left out
    assert x.shape == (4, 3, 32, 32) and set(y.tolist()) <= set(range(0, 12, 2))
    ((x, y),) = list(test)
    assert y.tolist() == [3, 7]
    expected = torch.from_numpy((pixels[[3, 7]] - mean) / std).permute(0, 3, 1, 2).float()
    torch.testing.assert_close(x, expected, rtol=1e-4, atol=1e-4)


def fake_cifar(pixels):
    """torchvision's data set on these pixels; an image's label is its number."""
    from PIL import Image

    class Fake(torch.utils.data.Dataset):
        def __init__(self, root, train, transform) -> None:
            self.transform = transform

        def __len__(self) -> int:
            return len(pixels)

        def __getitem__(self, k):
            return self.transform(Image.fromarray(pixels[k])), k

    return Fake
