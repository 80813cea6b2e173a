"""Ghost batch normalisation: each part by its own statistics, running ones towards the mean of the parts."""

import copy

import pytest
import torch
from torch import nn

from model import build
from model.ghost_batchnorm import GhostBatchNorm, share


def network():
    torch.manual_seed(0)
    net = build("shufflenet", groups=3, width=0.25, num_classes=4, in_channels=1, stem="stride2").double()
    return net.train()


def trained(net, ghosts, x, y):
    for images, labels in ghosts.each(x, y):
        (nn.functional.cross_entropy(net(images), labels) / ghosts.parts).backward()
    return [p.grad for p in net.parameters()]


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_gradients_and_statistics_are_those_of_the_parts(parts):
    net, x, y = network(), torch.randn(16, 1, 16, 16, dtype=torch.float64), torch.arange(16) % 4
    copies = [copy.deepcopy(net) for _ in range(parts)]
    gradients = [torch.zeros_like(p) for p in net.parameters()]
    for each, images, labels in zip(copies, x.chunk(parts), y.chunk(parts), strict=True):
        nn.functional.cross_entropy(each(images), labels).backward()
        gradients = [g + p.grad / parts for g, p in zip(gradients, each.parameters(), strict=True)]
    found = trained(net, GhostBatchNorm(net, parts), x, y)
    assert all(torch.allclose(a, b, rtol=1e-9, atol=1e-14) for a, b in zip(found, gradients, strict=True))
    states = [dict(each.named_buffers()) for each in copies]
    for name, buffer in net.named_buffers():
        mean = torch.stack([state[name].double() for state in states]).mean(0)
        assert torch.allclose(buffer.double(), mean, rtol=1e-12), name
    assert all(module.momentum == 0.1 for module in net.modules() if isinstance(module, nn.BatchNorm2d))


def test_parts_weigh_alike():
    for parts in (1, 2, 3, 8):
        weights = [0.0] * parts
        for k in range(parts):
            weights = [weight * (1 - share(0.1, parts, k)) for weight in weights]
            weights[k] += share(0.1, parts, k)
        assert weights == pytest.approx([0.1 / parts] * parts, rel=1e-12)
