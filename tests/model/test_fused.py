"""Fused networks: S of them as one give each what it would compute alone, to rounding, forward, back and trained."""

import pytest
import torch
from torch import nn

from model import ShuffleNetV1
from model.fused import FusedShuffleNet, beside

CELLS = [
    (1, 0.25, (True, True), "stride2"),
    (2, 0.25, (True, False), "stride1"),
    (3, 0.25, (True, True, True), "imagenet"),
    (4, 0.25, (True, False), "stride2"),
    (8, 0.25, (True, False, True, False), "stride2"),
    (3, 0.5, (False, False), "stride2"),
    (3, 0.25, (True,), "stride2"),
]


def network(groups: int, width: float, shuffle: bool, seed: int, stem: str = "stride2") -> ShuffleNetV1:
    torch.manual_seed(seed)
    net = ShuffleNetV1(groups, width, shuffle, num_classes=5, stem=stem)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
        elif isinstance(module, nn.Conv2d):
            module.weight.data.mul_(0.5 if module.groups > 1 else 5.0)  # so that no layer is drowned by another
    return net.double().to(memory_format=torch.channels_last)


def close(a: torch.Tensor, b: torch.Tensor, within: float = 1e-10) -> bool:
    """A gradient that is 0 (of a bias before BatchNorm) is rounding alone: it counts as 1e-2 large."""
    return bool((a - b).norm() <= within * b.norm().clamp(min=1e-2))


@pytest.mark.parametrize("groups,width,shuffles,stem", CELLS)
def test_logits_gradients_and_running_statistics_are_those_of_each_alone(groups, width, shuffles, stem):
    alone = [network(groups, width, shuffle, seed, stem) for seed, shuffle in enumerate(shuffles)]
    windows = [network(groups, width, shuffle, seed, stem) for seed, shuffle in enumerate(shuffles)]
    fused = FusedShuffleNet(windows)
    size = 36 if stem == "imagenet" else 18
    x = torch.randn(4, 3 * len(shuffles), size, size, dtype=torch.float64).to(memory_format=torch.channels_last)
    scores = fused(x)
    assert scores.shape == (len(shuffles), 4, 5)
    weights = torch.randn_like(scores)
    (scores * weights).sum().backward()
    for k, net in enumerate(alone):
        mine = net(x[:, 3 * k : 3 * k + 3])
        (mine * weights[k]).sum().backward()
        assert close(scores[k], mine, 1e-12)
        for name, parameter in net.named_parameters():
            assert close(fused.get_parameter(name).grad.chunk(len(shuffles))[k], parameter.grad), name
        for name, tensor in net.state_dict().items():
            assert close(windows[k].state_dict()[name].double(), tensor.double(), 1e-12), name


def test_the_networks_are_windows_with_the_names_and_shapes_they_had():
    nets = [network(3, 0.25, True, seed) for seed in range(3)]
    before = [{name: tensor.clone() for name, tensor in net.state_dict().items()} for net in nets]
    fused = FusedShuffleNet(nets)
    for net, old in zip(nets, before, strict=True):
        now = net.state_dict()
        assert list(now) == list(old) and all(torch.equal(now[name], old[name]) for name in old)
    assert list(fused.state_dict()) == list(before[0])
    with torch.no_grad():
        for parameter in fused.parameters():
            parameter.add_(1.0)
    for net, old in zip(nets, before, strict=True):
        assert all(torch.equal(p, old[name] + 1) for name, p in net.named_parameters())
        assert net.stage2[0].conv2.weight.is_contiguous(memory_format=torch.channels_last)


def test_a_network_with_weights_that_are_not_finite_leaves_the_others_alone():
    nets = [network(3, 0.25, True, seed) for seed in range(3)]
    fused = FusedShuffleNet(nets)
    x = torch.randn(4, 9, 16, 16, dtype=torch.float64)
    expected = fused(x).detach()
    with torch.no_grad():
        nets[1].stage3[2].conv1.weight.fill_(float("nan"))
    scores = fused(x)
    scores.sum().backward()
    assert torch.equal(scores[0], expected[0]) and torch.equal(scores[2], expected[2])
    assert scores[1].isnan().all()
    for parameter in fused.parameters():
        first, _, last = parameter.grad.chunk(3)
        assert first.isfinite().all() and last.isfinite().all()


def test_networks_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match="same names and shapes"):
        FusedShuffleNet([network(3, 0.25, True, 0), network(3, 0.5, True, 0)])


def test_concatenation_keeps_each_networks_channels_together():
    x = torch.tensor([0.0, 1, 10, 11]).view(1, 4, 1, 1)
    y = torch.tensor([5.0, 6, 7, 15, 16, 17]).view(1, 6, 1, 1)
    assert beside(x, y, 2).flatten().tolist() == [0, 1, 5, 6, 7, 10, 11, 15, 16, 17]
