"""Writes tests/golden/numerics.json, what the training maths gives: `python -m tests.golden.numerics`.

Run it after NUMERICS was bumped. It adds this machine's digest beside those of others.
"""

import json
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from ablations.core.run_spec import NUMERICS
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


def measure(kernels: str = "reference") -> dict[str, dict[str, Any]]:
    """For each run the digest of its weights by PyTorch, and what `kernels` give in double precision everywhere.

    In single precision, eight steps are enough for another order of additions to change losses by some percent.
    """
    torch.set_num_threads(1)
    found: dict[str, dict[str, Any]] = {}
    for name, one in RUNS.items():
        found[name] = {"digest": weights_digest(train(one, splits(one.protocol.data), kernels="reference").model)}
        with _double():
            trained = train(one, splits(one.protocol.data), kernels=kernels)
        assert trained.last is not None
        weights = [float(value.detach().abs().mean()) for value in trained.model.parameters()]
        losses = [*(row["train_loss"] for row in trained.history), trained.last.loss]
        found[name] |= {"losses": losses, "weights": weights}
    return found


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


def main() -> None:
    """Write what this machine gives."""
    old = json.loads(PATH.read_text()) if PATH.exists() else {"numerics": None}
    digests = old["digests"] if old["numerics"] == NUMERICS else {}
    measured = measure()
    digests[here()] = {name: values.pop("digest") for name, values in measured.items()}
    content = {"numerics": NUMERICS, "digests": digests, "values": measured}
    PATH.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
