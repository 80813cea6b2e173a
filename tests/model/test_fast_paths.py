"""Fast paths compute the package's own networks only: whatever else a network does is left to plain PyTorch."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ablations.training import trainer
from model import BlogShuffleNet, ShuffleNetV1, fused, timing
from model.backend import evaluation_scorer, fold, is_known, native, training_scorer
from model.native import library
from model.shufflenet import Unit
from tests.make import run, splits, train
from tests.training.test_trainer import digest

Modify = Callable[[ShuffleNetV1], nn.Module]


class Squeeze(nn.Module):
    """Squeeze and excite: scales each channel by what its average says."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weigh = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weigh(x.mean((2, 3))).sigmoid()[..., None, None]


class SqueezedUnit(Unit):
    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return self.squeeze(y)


class Halved(ShuffleNetV1):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) / 2


class Doubled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


def squeezed(net: ShuffleNetV1) -> nn.Module:
    unit = net.stage2[1]
    unit.__class__ = SqueezedUnit
    torch.manual_seed(0)
    unit.squeeze = Squeeze(unit.conv3.out_channels)
    return net


def overridden(net: ShuffleNetV1) -> nn.Module:
    net.__class__ = Halved
    return net


def own_forward(net: ShuffleNetV1) -> nn.Module:
    conv = net.stage2[0].conv2
    conv.forward = lambda x: 2 * nn.Conv2d.forward(conv, x)
    return net


def activated(net: ShuffleNetV1) -> nn.Module:
    net.stage2[0].relu = nn.LeakyReLU(0.2)
    return net


def added(net: ShuffleNetV1) -> nn.Module:
    net.stage3.append(nn.Dropout(0.0))
    return net


def hooked(net: ShuffleNetV1) -> nn.Module:
    net.stage3[0].bn2.register_forward_hook(lambda module, given, out: out * 0.5)
    return net


def hooked_before(net: ShuffleNetV1) -> nn.Module:
    net.classifier.register_forward_pre_hook(lambda module, given: (given[0] * 2,))
    return net


def hooked_back(net: ShuffleNetV1) -> nn.Module:
    net.stage2[1].conv1.weight.register_hook(lambda grad: grad * 3)
    return net


def parametrized(net: ShuffleNetV1) -> nn.Module:
    parametrize.register_parametrization(net.stage4[0].conv1, "weight", Doubled())
    return net


def averaged(net: ShuffleNetV1) -> nn.Module:
    net.stage2[2].bn1.momentum = 0.5
    return net


def unshuffled(net: ShuffleNetV1) -> nn.Module:
    net.stage2[1].shuffle = False
    return net


def dilated(net: ShuffleNetV1) -> nn.Module:
    net.stage2[1].conv2.padding_mode = "circular"
    net.stage2[1].conv2._reversed_padding_repeated_twice = [1, 1, 1, 1]
    return net


pytestmark = pytest.mark.usefixtures("one_thread")
MODIFIED: list[Modify] = [
    *(squeezed, overridden, own_forward, activated, added, hooked, hooked_before, hooked_back),
    *(parametrized, averaged, unshuffled, dilated),
]


def network(modify: Modify = lambda net: net) -> nn.Module:
    torch.manual_seed(0)
    net = ShuffleNetV1(3, 0.25, num_classes=5, stem="stride2")
    for norm in net.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.running_var, 0.5, 2)
            nn.init.normal_(norm.running_mean, 0, 0.2)
    return modify(net)


def images(count: int = 4) -> Tensor:
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def norms(net: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in net.modules())


def test_a_network_as_it_is_built_takes_every_fast_path():
    for net in (network(), copy.deepcopy(network()), network().to(memory_format=torch.channels_last).eval()):
        assert is_known(net) and fused.fits(net) and norms(fold(net)) == 0
        assert native(net) == (library.load() is not None)
    blog = BlogShuffleNet(3, 0.25, num_classes=5, stem="stride2")
    assert is_known(blog) and not fused.fits(blog) and not native(blog) and norms(fold(blog)) == 0


def test_after_fused_training_a_network_still_takes_them():
    nets = [network(), network()]
    together = fused.FusedShuffleNet(nets)
    together(torch.cat([images(), images()], 1)).sum().backward()
    assert all(is_known(net) and fused.fits(net) for net in nets)


@pytest.mark.parametrize("modify", MODIFIED)
def test_a_modified_network_takes_none(modify):
    net = network(modify)
    assert not native(net) and not fused.fits(net) and not is_known(net)
    assert norms(fold(net)) == norms(net) == norms(network())
    with pytest.raises(ValueError, match="unmodified ShuffleNetV1"):
        fused.FusedShuffleNet([net, copy.deepcopy(net)])


@pytest.mark.parametrize("modify", MODIFIED)
def test_its_scores_and_gradients_are_plain_pytorchs(modify):
    mine, plain = network(modify), network(modify).train()
    found, expected = training_scorer(mine, 4, 16)(images()), plain(images())
    assert torch.equal(found, expected)
    for scores in (found, expected):
        scores.square().sum().backward()
    for one, other in zip(mine.parameters(), plain.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)
    assert torch.equal(evaluation_scorer(mine, 4, 16)(images()), plain.eval()(images()))
    assert all(module.training for module in mine.modules()), "an evaluation between two epochs leaves it training"


@pytest.mark.parametrize("modify", [squeezed, overridden, activated, hooked])
def test_timing_measures_what_it_computes(modify):
    net = network(modify).eval()
    found = timing.entries([net], images())
    assert [entry.engine for entry in found] == [timing.PYTORCH] * 2
    for entry in found:
        torch.testing.assert_close(entry.call(), net(images()), rtol=1e-4, atol=1e-6)


def test_hooks_act_on_the_network_that_has_them_when_it_is_evaluated():
    net, seen = network(), []
    net.stage4.register_forward_hook(lambda module, given, out: seen.append(module))
    evaluation_scorer(net, 4, 16)(images())
    assert len(seen) == 1 and seen[0] is net.stage4


def test_hooks_for_all_modules_are_not_passed_over():
    net, seen = network(), []
    held = nn.modules.module.register_module_forward_hook(lambda module, given, out: seen.append(type(module)))
    try:
        assert not is_known(net) and not native(net)
        evaluation_scorer(net, 4, 16)(images())
    finally:
        held.remove()
    assert Unit in seen and is_known(net)


@contextmanager
def built(modify: Modify, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Meanwhile the trainer builds modified networks."""
    with monkeypatch.context() as patch:
        build = trainer.build_model
        patch.setattr(trainer, "build_model", lambda one, folders: modify(build(one, folders)))
        yield


@pytest.mark.parametrize("modify", [squeezed, overridden, activated, hooked])
def test_training_and_evaluating_it_is_plain_pytorch(modify, monkeypatch):
    one, two = (run(groups=3, seed=seed, recipe={"epochs": 1}) for seed in (0, 1))
    data = splits(one.protocol.data)
    told: list[dict[str, object]] = []
    with built(modify, monkeypatch):
        plain = [train(each, data, kernels="reference") for each in (one, two)]
        entries = [trainer.TrainingEntry(each, observe=told.append) for each in (one, two)]
        found = dict(trainer.train_together(entries, data))
    assert [digest(found[k]) for k in (0, 1)] == [digest(each) for each in plain]
    assert {"kernels": "pytorch"} in told and not any("fused_with" in event for event in told)
    last = plain[0].last
    assert found[0].last.loss == last.loss and digest(train(one, data, kernels="reference")) != digest(plain[0])


def test_squeeze_and_excitation_is_left_to_plain_pytorch():
    net = ShuffleNetV1(3, 0.25, se=True, in_channels=1, num_classes=4, stem="stride2")
    assert not (is_known(net) or fused.fits(net) or native(net))
    x = torch.randn(3, 1, 16, 16)
    assert torch.equal(evaluation_scorer(net, 3, 16)(x), net.eval()(x)), "its BatchNorm is not folded either"


@pytest.mark.parametrize("units", [(2, 4, 2), (1, 1, 3)])
def test_fast_paths_compute_other_depths(units):
    torch.manual_seed(0)
    net = ShuffleNetV1(3, 0.25, units=units, in_channels=1, num_classes=4, stem="stride2")
    x = torch.randn(3, 1, 16, 16).to(memory_format=torch.channels_last)
    assert is_known(net) and fused.fits(net)
    expected = net.eval()(x)
    torch.testing.assert_close(evaluation_scorer(net, 3, 16)(x), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(fold(net)(x), expected, rtol=1e-4, atol=1e-5)
    together = fused.FusedShuffleNet([net, copy.deepcopy(net)]).eval()
    torch.testing.assert_close(together(torch.cat((x, x), 1)), torch.stack((expected, expected)), rtol=1e-4, atol=1e-5)
