"""Traces networks: parameters, the operators of a forward pass, and the permutation of channels, as fingerprints.

Attributes such as `unit.shuffle` are not read: they say what was meant, not what is computed. Run as a process of its
own by ablations/verification/fingerprint.py.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ablations.core.json_subprocess import answer_json
from ablations.core.run_spec import Run, from_json
from ablations.training import checkpoint
from ablations.training.trainer import build_model
from ablations.verification.fingerprint import Fingerprint
from model.backend import logits
from model.family import load
from model.shufflenet_checks import permutations
from model.widths import STEM_SHRINK

LAST_SIDE = 2
"""Height and width of the last feature maps in a trace: for 1x1 maps torch cannot tell channels_last from others."""

aten = torch.ops.aten
MOVES = {
    aten.clone,
    aten._unsafe_view,
    aten.copy_,
    aten.channel_shuffle,
    aten.native_channel_shuffle,
    aten.index_select,
}
"""Operators that, like views, only move values: a permutation of channels is made of them."""


@dataclass
class Operators(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the aten operators that are called.

    Attributes:
        convolutions: arguments of each convolution, in order; `weight` is its shape (out, in / groups, height, width).
        names: of each operator that calculates, in order; views and copies are left out.
    """

    convolutions: list[dict[str, Any]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled here: else torch imports its compiler, which takes a second."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Called by torch in place of each operator."""
        if func is aten.convolution.default:
            _, weight, bias, stride, padding, dilation, transposed, _, groups = args
            self.convolutions.append(
                {
                    "weight": list(weight.shape),
                    "bias": bias is not None,
                    "stride": list(stride),
                    "padding": list(padding),
                    "dilation": list(dilation),
                    "transposed": transposed,
                    "groups": groups,
                }
            )
        if not func.is_view and func.overloadpacket not in MOVES:
            self.names.append(str(func))
        return func(*args, **(kwargs or {}))


@dataclass(frozen=True)
class Traced:
    """What a family's `check` is given; axes: an instance of its Axes; the others see `Operators`, `permutations`."""

    axes: Any
    convolutions: list[dict[str, Any]]
    before: list[list[float]]
    after: list[list[float]]


def fingerprint(run: Run, folders: Sequence[Path] = ()) -> Fingerprint:
    """The fingerprint of a run's network, built as for training and run on a small input."""
    network = build_model(run, folders)
    weights = checkpoint.weights_digest(network)[:16]  # before the passes below move BatchNorm's statistics
    x = small_input(run)
    with torch.no_grad(), Operators() as traced:
        logits(network, x)
    before, after = permutations(network, x)
    module = load(run.variant.structure, folders).module
    axes = module.Axes(**run.variant.axes)
    faults: list[str] = (
        module.check(Traced(axes, traced.convolutions, before, after)) if hasattr(module, "check") else []
    )
    parameters = [[name, list(p.shape)] for name, p in network.named_parameters()]
    found = Fingerprint(
        parameters=_digest(parameters),
        convolutions=_digest(traced.convolutions),
        operators=_digest(traced.names),
        permutation=_digest([before, after]),
        weights=weights,
        summary=summary(before, traced.convolutions),
        faults=tuple(faults),
    )
    if run.variant.axes.get("groups") == 1 and run.variant.axes.get("shuffle") is True:
        twin = fingerprint(replace(run, variant=run.variant.with_axes(shuffle=False)), folders)
        if twin != found:
            fault = "with shuffle off it is another network, but of one group the shuffle is the identity"
            return replace(found, faults=(*found.faults, fault))
    return found


def small_input(run: Run) -> Tensor:
    """(2, C, H, W) zeros in the trainer's memory format; H and W so small that the last maps are LAST_SIDE wide."""
    side = LAST_SIDE * 8 * STEM_SHRINK[run.protocol.stem]  # three stages of stride 2
    return torch.zeros(2, run.protocol.data.channels, side, side).to(memory_format=torch.channels_last)


def summary(before: list[list[float]], convolutions: list[dict[str, Any]]) -> str:
    """One line for people: units, what is permuted, groups of the 1x1 convolutions."""
    moved = [len(order) for order in before if order != sorted(order)]
    groups = Counter(conv["groups"] for conv in convolutions if conv["weight"][2:] == [1, 1])
    span = f"{min(moved)}" + (f"..{max(moved)}" if max(moved) > min(moved) else "") if moved else ""
    shuffle = f"permutation of {span} channels in {len(moved)} of them" if moved else "no permutation"
    shuffle = shuffle if len(moved) != len(before) else f"permutation of {span} channels"
    counted = ", ".join(f"{count} with groups {g}" for g, count in sorted(groups.items()))
    if not before:
        return f"{len(convolutions)} convolutions; 1x1 convolutions: {counted or 'none'}"
    return f"{len(before)} units, {shuffle}; 1x1 convolutions: {counted}"


def _answer(question: dict[str, Any]) -> list[dict[str, Any]]:
    """The fingerprints of `runs`, both as JSON has them; `folders`: of families of the user's own."""
    folders = list(map(Path, question["folders"]))
    return [asdict(fingerprint(from_json(run), folders)) for run in question["runs"]]


def _digest(content: Any) -> str:
    """16 hex digits of sha256 over the JSON of a plain value."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


if __name__ == "__main__":
    answer_json(_answer)
