"""Whether a network is still exactly what its class builds: only then may a fast path compute it.

Compiled kernels, fused networks and folded BatchNorm compute a network from its parameters and never call its layers.
Whatever a subclass, a hook, a parametrization or a replaced layer does would be left out without an error.
"""

import hashlib
from collections.abc import Collection

from torch import nn
from torch.nn.modules import module as torch_module

DIGEST = "structure_digest"
"""Attribute of a network that holds `structure_digest` as of its construction."""

_UNUSED = {"training", "_parameters", "_buffers", "_modules", DIGEST}


def structure_digest(net: nn.Module) -> str:
    """sha256 over all that decides what a network computes, but for the values of its tensors and its mode.

    For each module its name, class, attributes (settings, hooks and a `forward` of its own are among them), and the
    names, classes, shapes and hooks of its parameters and buffers.
    """
    digest = hashlib.sha256()
    for path, module in net.named_modules(remove_duplicate=False):
        kind = type(module)
        digest.update(f"{path} {kind.__module__}.{kind.__qualname__} {list(module._modules)}\n".encode())
        attributes = {name: value for name, value in vars(module).items() if name not in _UNUSED}
        digest.update(f"{sorted(attributes.items())!r}\n".encode())
        for name, tensor in (*module._parameters.items(), *module._buffers.items()):
            if tensor is None:
                digest.update(f"{name} None\n".encode())
                continue
            hooked = bool(tensor._backward_hooks) or bool(getattr(tensor, "_post_accumulate_grad_hooks", None))
            digest.update(f"{name} {type(tensor).__qualname__} {tuple(tensor.shape)} {hooked}\n".encode())
    return digest.hexdigest()


def is_exactly(net: nn.Module, kinds: Collection[type[nn.Module]], layers: Collection[type[nn.Module]]) -> bool:
    """Whether a network is one of `kinds`, no subclass, made of `layers` alone and unchanged since it was built.

    False too while torch has hooks that are registered for all modules.
    """
    return (
        type(net) in kinds
        and all(type(module) in layers for module in net.modules() if module is not net)
        and getattr(net, DIGEST, None) == structure_digest(net)
        and not torch_module._has_any_global_hook()  # type: ignore[no-untyped-call]
    )
