"""Learning rate and weight decay as the recipe names them."""

from itertools import pairwise

import torch
from torch import nn

from ablations.training.optimizer import Sgd, decays, learning_rate
from tests.make import run


def test_rate_falls_linearly_to_zero_as_in_the_paper():
    rates = [learning_rate(step, 10, 0, 0.5) for step in range(10)]
    assert rates[0] == 0.5
    assert all(abs(a - b - 0.05) < 1e-12 for a, b in pairwise(rates))
    assert learning_rate(10, 10, 0, 0.5) == 0


def test_warmup_rises_to_the_peak_then_falls():
    rates = [learning_rate(step, 20, 4, 1.0) for step in range(20)]
    assert rates[:5] == sorted(rates[:5]) and rates[4] == max(rates) == 1.0
    assert rates[4:] == sorted(rates[4:], reverse=True)


def parameters():
    net = nn.ModuleDict(
        {
            "pointwise": nn.Conv2d(8, 8, 1, groups=2, bias=False),
            "depthwise": nn.Conv2d(8, 8, 3, groups=8, bias=False),
            "norm": nn.BatchNorm2d(8),
            "fc": nn.Linear(8, 3),
        }
    )
    return net, dict(net.named_parameters())


def test_policies_decay_what_they_name():
    _, named = parameters()
    decayed = {
        policy: {n for n, p in named.items() if decays(p, policy)} for policy in ("all", "matrices", "pointwise")
    }
    assert decayed["all"] == set(named)
    assert decayed["matrices"] == {"pointwise.weight", "depthwise.weight", "fc.weight"}
    assert decayed["pointwise"] == {"pointwise.weight", "fc.weight"}


def test_sgd_equals_torchs_own_over_many_steps():
    recipe = run(recipe={"weight_decay": 0.1, "momentum": 0.9, "nesterov": True}).protocol.recipe
    torch.manual_seed(0)
    mine, _ = parameters()
    theirs, _ = parameters()
    theirs.load_state_dict(mine.state_dict())
    ours = Sgd(mine, recipe)
    held = list(theirs.parameters())
    groups = [
        {"params": [p for p in held if p.dim() > 1], "weight_decay": 0.1},
        {"params": [p for p in held if p.dim() == 1], "weight_decay": 0.0},
    ]
    reference = torch.optim.SGD(groups, lr=1.0, momentum=0.9, nesterov=True)
    for step in range(5):
        x = torch.rand(4, 8, 5, 5)
        for net in (mine, theirs):
            y = net["norm"](net["depthwise"](net["pointwise"](x)))
            net["fc"](y.mean((2, 3))).square().sum().backward()
        ours.step(0.1 / (step + 1))
        for group in reference.param_groups:
            group["lr"] = 0.1 / (step + 1)
        reference.step()
        reference.zero_grad()
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(mine.parameters(), held, strict=True))
        assert all(p.grad is None for p in mine.parameters())


def test_state_goes_out_and_in():
    net, _ = parameters()
    ours = Sgd(net, run().protocol.recipe)
    for momentum in ours.momenta[0]:
        momentum.fill_(2.0)
    again = Sgd(net, run().protocol.recipe)
    again.load_state_dict(ours.state_dict())
    assert all(bool((m == 2.0).all()) for m in again.momenta[0])
