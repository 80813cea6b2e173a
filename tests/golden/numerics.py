"""Writes tests/golden/numerics.json, what the training maths gives: `python -m tests.golden.numerics`.

Run it after NUMERICS was bumped. Otherwise it adds this machine's digests beside those of others, for the test that
skips where there are none, and leaves the rest.
"""

import json
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from ablations.core.run_spec import NUMERICS, Run
from ablations.training import run_group, trainer
from ablations.training.checkpoint import weights_digest
from tests.make import run, splits, train

PATH = Path(__file__).with_suffix(".json")
RUNS = {
    "plain": run(groups=3, recipe={"epochs": 2, "lr": 0.01}),
    "all of the recipe": run(
        groups=2,
        shuffle=False,
        recipe={
            **{"epochs": 2, "lr": 0.01, "crop": "resized", "area": (0.5, 1.0), "flip": True, "jitter": 0.4},
            **{"label_smoothing": 0.1, "warmup_epochs": 1.0, "decay": "pointwise", "weight_decay": 0.01},
        },
    ),
    "pad": run(groups=8, recipe={"epochs": 2, "lr": 0.01, "crop": "pad", "pad": 2, "nesterov": False, "decay": "all"}),
}


def here() -> str:
    """What decides the last bits: torch's version, the processor's make and the instructions that torch uses of it."""
    make = platform.machine()
    with suppress(OSError):
        lines = [line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()]
        facts = {line[0].strip(): line[-1].strip() for line in lines}
        make += "".join(f" {facts.get(key, '?')}" for key in ("vendor_id", "cpu family", "model", "stepping"))
    return f"torch {torch.__version__.partition('+')[0]} {make} {torch.backends.cpu.get_cpu_capability()}"


def digests() -> dict[str, str]:
    """For each run the digest of its weights, in single precision by PyTorch.

    Eight steps are enough for another order of additions to change losses by some percent.
    """
    torch.set_num_threads(1)
    return {name: weights_digest(_trained(one, "reference").model) for name, one in RUNS.items()}


def measure(kernels: str = "reference") -> dict[str, dict[str, list[float]]]:
    """For each run what `kernels` give in double precision everywhere: losses, and means of absolute weights."""
    torch.set_num_threads(1)
    found: dict[str, dict[str, list[float]]] = {}
    for name, one in RUNS.items():
        with _double():
            trained = _trained(one, kernels)
        weights = [float(value.detach().abs().mean()) for value in trained.model.parameters()]
        losses = [*(row["train_loss"] for row in trained.history), trained.last.loss]
        found[name] = {"losses": losses, "weights": weights}
    return found


def first_step(name: str, kernels: str, double: bool) -> tuple[float, Tensor]:
    """Loss of a run's first step, and all its weights after it; in either precision from the same random numbers."""
    torch.set_num_threads(1)
    one = RUNS[name]
    recipe, data = one.protocol.recipe, one.protocol.data
    data = replace(data, train_images=recipe.batch_size)
    one = replace(one, protocol=replace(one.protocol, data=data, recipe=replace(recipe, epochs=1)))
    with _double_as_drawn() if double else nullcontext():
        trained = _trained(one, kernels)
    weights = torch.cat([value.detach().double().flatten() for value in trained.model.parameters()])
    return trained.history[0]["train_loss"], weights


def _trained(one: Run, kernels: str) -> Any:
    return train(one, splits(one.protocol.data), kernels=kernels)


@contextmanager
def _double() -> Iterator[None]:
    """Everything that the trainer computes in float32, in float64."""
    float32 = torch.Tensor.float
    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign]
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)
        torch.Tensor.float = float32  # type: ignore[method-assign]


@contextmanager
def _double_as_drawn() -> Iterator[None]:
    """As `_double`, from the weights and random numbers that are drawn in float32: float64 has others."""

    def drawn(draw: Callable[..., Any], double: Callable[[Any], Any]) -> Callable[..., Any]:
        def act(*arguments: Any) -> Any:
            torch.set_default_dtype(torch.float32)
            found = draw(*arguments)
            torch.set_default_dtype(torch.float64)
            return double(found)

        return act

    epoch = drawn(run_group.draw_epoch, lambda each: replace(each, unit=each.unit.double()))
    with (
        _double(),
        patch.object(trainer, "build_model", drawn(trainer.build_model, torch.nn.Module.double)),
        patch.object(run_group, "draw_epoch", epoch),
    ):
        yield


def main() -> None:
    """Write what this machine gives."""
    content = json.loads(PATH.read_text()) if PATH.exists() else {"numerics": None}
    if content["numerics"] != NUMERICS:
        content = {"numerics": NUMERICS, "digests": {}, "values": measure()}
    content["digests"][here()] = digests()
    PATH.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
