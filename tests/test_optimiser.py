"""Learning rate and weight decay as the recipe names them."""

import torch
from torch import nn

from ablations.optimiser import build_optimiser, decays, learning_rate
from tests.make import run


def test_rate_falls_linearly_to_zero_as_in_the_paper():
    rates = [learning_rate(step, 10, 0, 0.5) for step in range(10)]
    assert rates[0] == 0.5
    assert all(abs(a - b - 0.05) < 1e-12 for a, b in zip(rates, rates[1:], strict=False))
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
    decayed = {policy: {n for n, p in named.items() if decays(p, policy)} for policy in ("all", "matrices", "pointwise")}
    assert decayed["all"] == set(named)
    assert decayed["matrices"] == {"pointwise.weight", "depthwise.weight", "fc.weight"}
    assert decayed["pointwise"] == {"pointwise.weight", "fc.weight"}


def test_optimiser_holds_every_parameter_once():
    net, named = parameters()
    optimiser = build_optimiser(net, run(recipe={"weight_decay": 0.1}).protocol.recipe, "cpu")
    held = [p for group in optimiser.param_groups for p in group["params"]]
    assert len(held) == len(named) and {id(p) for p in held} == {id(p) for p in named.values()}
    assert sorted(group["weight_decay"] for group in optimiser.param_groups) == [0.0, 0.1]


def test_first_step_is_plain_sgd():
    net = nn.Linear(2, 1, bias=False)
    before = net.weight.detach().clone()
    recipe = run(recipe={"lr": 0.5, "weight_decay": 0.0, "nesterov": False}).protocol.recipe
    optimiser = build_optimiser(net, recipe, "cpu")
    net(torch.ones(1, 2)).sum().backward()
    optimiser.step()
    assert torch.allclose(net.weight, before - 0.5)
