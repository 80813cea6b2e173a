"""SGD as the recipe says: which weights decay, and the learning rate of each step."""

import torch
from torch import nn

from ablations.describe import Recipe


def learning_rate(step: int, steps: int, warmup: int, peak: float) -> float:
    """Learning rate of a step (0 .. steps - 1): linear from 0 up to `peak` in `warmup` steps, then linear to 0.

    The paper (section 4) has no warm-up: 0.5 falling linearly to 0.
    """
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    return peak * (steps - step) / (steps - warmup)


def decays(parameter: nn.Parameter, policy: str) -> bool:
    """Whether weight decay acts on a parameter under a policy of `describe.DECAYS`."""
    depthwise = parameter.dim() == 4 and parameter.shape[1] == 1 and parameter.shape[2] > 1
    return policy == "all" or (parameter.dim() > 1 and not (policy == "pointwise" and depthwise))


def build_optimiser(model: nn.Module, recipe: Recipe, device: str) -> torch.optim.SGD:
    """SGD with momentum over two parameter groups, decayed and not."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if decays(p, recipe.decay)], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if not decays(p, recipe.decay)], "weight_decay": 0.0},
    ]
    return torch.optim.SGD(
        [group for group in groups if group["params"]],
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        fused=device in ("cpu", "cuda"),  # one pass over the weights in place of one for each tensor
    )
