"""What one image costs a run's network; asked in a process of its own (`ask`), for it needs torch."""

import json
import sys
from typing import Any

import torch
from torch import nn

from ablations.core.run_spec import Run, from_json
from ablations.training.trainer import build_model
from model import complexity
from model.backend import logits


def weigh(run: Run) -> dict[str, int]:
    """Multiply-adds and parameters by `model.complexity`, and how many values the layers put out in training."""
    network = build_model(run)
    shape = (run.protocol.data.channels, run.protocol.resolution, run.protocol.resolution)
    found = complexity(network, shape)
    return {"macs": found.macs, "params": found.params, "activations": activations(network, shape)}


def activations(network: nn.Module, shape: tuple[int, int, int]) -> int:
    """Values that all layers put out for one image: what training keeps for its backward pass, roughly."""
    count = 0

    def add(module: nn.Module, inputs: Any, output: Any) -> None:
        nonlocal count
        count += output[0].numel()

    leaves = [module for module in network.modules() if not list(module.children())]
    hooks = [leaf.register_forward_hook(add) for leaf in leaves]
    with torch.no_grad():
        logits(network.eval(), torch.zeros(1, *shape))
    for hook in hooks:
        hook.remove()
    return count


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps([weigh(from_json(text)) for text in json.load(sys.stdin)]))
