"""Identity of code that is not this project's own: a digest of what a network computes, not of how it is written.

Taken of one training step in float64 on a fixed batch: shapes of parameters, traced operators, loss and gradients,
rounded so that versions of torch agree. Run as a process of its own by `behaviours`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ablations.core.errors import UserError
from ablations.core.files import read_json, write_json
from ablations.core.json_subprocess import answer_json, run_module_json
from ablations.core.run_spec import Run, digest, plain
from ablations.core.text import one_line

IMAGES = 4
DIGITS = 6
"""Decimals of loss and gradients, which are divided by the largest of them."""


def behaviours(runs: Sequence[Run], source: Path, code: str) -> list[str]:
    """The behaviour of each run's network, from the kept copy of its source; measured once for each copy.

    Args:
        source: sources/<digest>/<folder>; what was measured is kept beside it, as sources/<digest>.json.
        code: identifies this project's own code and torch's.

    Raises:
        UserError: a network cannot be built, computes differently twice, or has scores of the wrong shape.
    """
    path = source.parent.with_suffix(".json")
    known: dict[str, str] = read_json(path) or {}
    asked = {digest({"code": code, **_question(run)}): _question(run) for run in runs}
    missing = [key for key in asked if key not in known]
    if missing:
        question = {"folder": str(source), "networks": [asked[key] for key in missing]}
        failed = f"The networks of {source.name} could not be built"
        answers = run_module_json("ablations.verification.behaviour", question, failed)
        for answer in answers:
            if "error" in answer:
                raise UserError(answer["error"])
        known |= {key: answer["behaviour"] for key, answer in zip(missing, answers, strict=True)}
        write_json(path, known)
    return [known[digest({"code": code, **_question(run)})] for run in runs]


def _question(run: Run) -> dict[str, Any]:
    protocol = run.protocol
    given = (protocol.data.classes, protocol.data.channels, protocol.resolution, protocol.stem)
    return {"structure": run.variant.structure, "axes": plain(run.variant), "input": list(given)}


def measure(structure: str, axes: dict[str, Any], given: Sequence[Any], folder: Path) -> dict[str, str]:
    """`behaviour` of a network, or `error`: a sentence with what to do."""
    from model.family import Input, load

    try:
        family, one = load(structure, [folder]), Input(*given)
        values = {name: value for name, value in axes.items() if name in family.axes}
        first, second = _step(family, values, one), _step(family, values, one)
    except LookupError as error:
        return {"error": str(error)}
    except Exception as error:
        said = f"{type(error).__name__}: {one_line(error)}"
        return {"error": f"{structure} with {values} cannot be trained for a step: {said}"}
    if "error" in first:
        return {"error": f"{structure}: {first['error']}"}
    if first != second:
        return {
            "error": f"{structure} computes differently twice from one seed, so its results could not be told apart. "
            "Draw random numbers from torch's generators alone, or give the module a VERSION, which then identifies it."
        }
    return {"behaviour": digest(first)}


def _step(family: Any, values: dict[str, Any], given: Any) -> dict[str, Any]:
    """Shapes, operators, and rounded loss and gradients of one step from seed 0."""
    import torch

    from ablations.verification.trace import Operators
    from model.backend import logits

    torch.manual_seed(0)
    network = family.build(values, given)
    if not isinstance(network, torch.nn.Module):
        return {"error": f"build must return a torch.nn.Module, and gave {type(network).__name__}."}
    network = network.double().train()
    source = torch.Generator().manual_seed(1)
    shape = (IMAGES, given.channels, given.resolution, given.resolution)
    x = torch.randn(shape, generator=source, dtype=torch.float64).to(memory_format=torch.channels_last)
    with Operators() as traced:
        scores = logits(network, x)
    if not isinstance(scores, torch.Tensor) or scores.shape != (IMAGES, given.classes):
        found = tuple(scores.shape) if isinstance(scores, torch.Tensor) else type(scores).__name__
        wanted = (IMAGES, given.classes)
        return {"error": f"its output for {IMAGES} images is {found}, and must be (images, classes), {wanted}."}
    loss = torch.nn.functional.cross_entropy(scores, torch.arange(IMAGES) % given.classes)
    parameters = [p for p in network.parameters() if p.requires_grad]
    if not parameters:
        return {"error": "it has no parameter to train."}
    numbers = [float(loss.detach())]
    for gradient in torch.autograd.grad(loss, parameters, allow_unused=True):
        flat = torch.zeros(1) if gradient is None else gradient.detach().flatten()
        numbers += [float(flat.norm()), float((flat * torch.arange(1, len(flat) + 1).to(flat).cos()).sum())]
    scale = max(map(abs, numbers)) or 1.0
    return {
        "shapes": [list(p.shape) for p in network.parameters()],
        "operators": traced.names,
        "values": [round(value / scale, DIGITS) + 0.0 for value in numbers],
    }


def _answer(question: dict[str, Any]) -> list[dict[str, str]]:
    folder = Path(question["folder"])
    return [measure(one["structure"], one["axes"], one["input"], folder) for one in question["networks"]]


if __name__ == "__main__":
    answer_json(_answer)
