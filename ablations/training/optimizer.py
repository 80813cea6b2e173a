"""SGD with the recipe's weight decay and learning-rate schedule."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd

from ablations.core.run_spec import Recipe


def learning_rate(step: int, steps: int, warmup: int, peak: float) -> float:
    """Learning rate of a step (0 .. steps - 1): linear from 0 up to `peak` in `warmup` steps, then linear to 0.

    The paper (section 4) has no warm-up: 0.5 falling linearly to 0.
    """
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    return peak * (steps - step) / (steps - warmup)


@dataclass(frozen=True)
class Schedule:
    """Steps of a run. An epoch's last, smaller batch is dropped: BatchNorm needs a full one."""

    batch: int
    per_epoch: int
    steps: int
    warmup: int
    peak: float

    def rate(self, step: int) -> float:
        """Learning rate of a step of the run, 0 .. steps - 1."""
        return learning_rate(step, self.steps, self.warmup, self.peak)


def to_schedule(recipe: Recipe, images: int) -> Schedule:
    """The schedule of a recipe on so many training images."""
    batch = min(recipe.batch_size, images)
    per_epoch = images // batch
    return Schedule(batch, per_epoch, recipe.epochs * per_epoch, round(recipe.warmup_epochs * per_epoch), recipe.lr)


def decays(parameter: Tensor, policy: str) -> bool:
    """Whether weight decay applies to a parameter under a policy of `run_spec.DECAYS`."""
    depthwise = parameter.dim() == 4 and parameter.shape[1] == 1 and parameter.shape[2] > 1
    return policy == "all" or (parameter.dim() > 1 and not (policy == "pointwise" and depthwise))


class Sgd:
    """SGD with momentum, by torch's functional kernel (fused where the device has it).

    torch.optim.SGD is not used: constructing it imports torch's compiler, seconds in each worker.
    """

    def __init__(self, model: nn.Module, recipe: Recipe) -> None:
        self.recipe = recipe
        parameters = list(model.parameters())
        decayed = [p for p in parameters if decays(p, recipe.decay)]
        rest = [p for p in parameters if not decays(p, recipe.decay)]
        self.groups = [(group, decay) for group, decay in ((decayed, recipe.weight_decay), (rest, 0.0)) if group]
        self.momenta = [[torch.zeros_like(p) for p in group] for group, _ in self.groups]
        self.fused = parameters[0].device.type in ("cpu", "cuda")

    @torch.no_grad()
    def step(self, rate: float | Tensor) -> None:
        """Update all weights and clear their gradients. `rate`: a float or a tensor of one element on the device."""
        for (group, decay), momenta in zip(self.groups, self.momenta, strict=True):
            sgd(
                list[Tensor](group),
                [p.grad for p in group],  # type: ignore[misc]  # every weight takes part in every step
                momenta,  # type: ignore[arg-type]
                has_sparse_grad=False,
                foreach=False,
                fused=self.fused,
                weight_decay=decay,
                momentum=self.recipe.momentum,
                lr=rate,
                dampening=0.0,
                nesterov=self.recipe.nesterov,
                maximize=False,
            )
            for p in group:
                p.grad = None

    def share(self, parts: Sequence["Sgd"]) -> None:
        """Copy the momenta of the networks fused into this one; theirs become views of these."""
        for group, momenta in enumerate(self.momenta):
            for k, momentum in enumerate(momenta):
                momentum.copy_(torch.cat([part.momenta[group][k] for part in parts]))
                for part, view in zip(parts, momentum.chunk(len(parts)), strict=True):
                    part.momenta[group][k] = view

    def state_dict(self) -> dict[str, Any]:
        """Momenta by parameter group."""
        return {"momenta": self.momenta}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore `state_dict`."""
        for mine, stored in zip(self.momenta, state["momenta"], strict=True):
            for to, value in zip(mine, stored, strict=True):
                to.copy_(value)
