"""Chooses what computes a network: the compiled CPU kernels where they apply, else PyTorch."""

import copy
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from model.blog import BlogShuffleNet
from model.exact import is_exactly
from model.shufflenet import LAYERS, ShuffleNetV1

Scorer = Callable[[Tensor], Tensor]
"""(N, C, H, W) images -> (N, classes) before any softmax."""


def logits(net: nn.Module, x: Tensor) -> Tensor:
    """Scores (N, classes) before any softmax, from (N, C, H, W); the blog variant's forward ends in a softmax."""
    scores: Tensor = getattr(net, "logits", net)(x)
    return scores


def native(net: nn.Module, kernels: str = "auto", precision: str = "float32") -> bool:
    """Whether the compiled kernels compute this network: it fits them, they are built, and torch uses one thread.

    They are single-threaded: this harness trains one run per core.
    """
    if kernels == "reference" or precision != "float32" or torch.get_num_threads() > 1:
        return False
    from model.native import engine, library

    return engine.fits(net) and library.load() is not None


def training_scorer(
    net: nn.Module, images: int, size: int, kernels: str = "auto", precision: str = "float32"
) -> Scorer:
    """Differentiable scorer of batches of exactly `images` of `size` x `size`; puts the network in training mode."""
    net.train()
    if not native(net, kernels, precision):
        return lambda x: logits(net, x)
    return _native_scorer(net, images, size, train=True)


def evaluation_scorer(net: nn.Module, images: int, size: int, kernels: str = "auto") -> Scorer:
    """Scorer in evaluation mode, of batches of at most `images`, with the network's current weights."""
    if not native(net, kernels):
        # A network with hooks is not copied: they must act on the network that has them.
        return partial(logits, fold(net)) if is_known(net) else partial(_logits_in_eval_mode, net)
    return _native_scorer(net, images, size, train=False)


def is_known(net: nn.Module) -> bool:
    """Whether a network is exactly one of this package's, unchanged since it was built (see model.exact)."""
    return is_exactly(net, {ShuffleNetV1, BlogShuffleNet}, LAYERS)


def fold(net: nn.Module) -> nn.Module:
    """A copy of a network in eval mode, each BatchNorm part of the convolution before it; it computes the same.

    Only where that is known to be right (`is_known`): of other networks, a plain copy in eval mode.
    """
    folded = copy.deepcopy(net).eval()
    for module in list(folded.modules()) if is_known(net) else []:
        for (name, conv), (after, norm) in pairwise(list(module.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, name, fuse_conv_bn_eval(conv, norm))
                setattr(module, after, nn.Identity())
    return folded


def _logits_in_eval_mode(net: nn.Module, x: Tensor) -> Tensor:
    """Scores of the network itself in eval mode; each module gets its own mode back."""
    modes = [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        return logits(net, x)
    finally:
        for module, training in modes:
            module.training = training


def _native_scorer(net: nn.Module, images: int, size: int, train: bool) -> Scorer:
    from model.native.engine import Engine

    engine = Engine(net, images, size, train)  # type: ignore[arg-type]
    return lambda x: net.classifier(engine(x))  # type: ignore[operator]


def describe(net: nn.Module, kernels: str = "auto", precision: str = "float32") -> str:
    """Name of the engine for provenance: `native avx512`, say, or `pytorch`."""
    if not native(net, kernels, precision):
        return "pytorch"
    from model.native.library import load

    found = load()
    assert found is not None
    return f"native {found[0]}"
