"""What computes a network: the compiled CPU kernels where they fit, else PyTorch. Chosen here and nowhere else."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from model.batchnorm_folding import fold

KERNELS = ("auto", "reference")
"""Settings: the fastest that there is, or PyTorch's own operators."""

Scorer = Callable[[Tensor], Tensor]
"""(N, C, H, W) images -> (N, classes) before any softmax."""


def logits(net: nn.Module, x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, classes) before any softmax (the blog variant has one in its forward)."""
    scores: Tensor = getattr(net, "logits", net)(x)
    return scores


def native(net: nn.Module, kernels: str = "auto", precision: str = "float32") -> bool:
    """Whether the compiled kernels will compute this network: they fit it, were built, and one thread is asked for.

    They use one thread: this harness trains one run on each core.
    """
    if kernels == "reference" or precision != "float32" or torch.get_num_threads() > 1:
        return False
    from model.native import engine, library

    return engine.fits(net) and library.load() is not None


def training_scorer(
    net: nn.Module, images: int, size: int, kernels: str = "auto", precision: str = "float32"
) -> Scorer:
    """What scores batches of exactly so many images of `size` x `size`, differentiable; the network trains from now."""
    net.train()
    if not native(net, kernels, precision):
        return lambda x: logits(net, x)
    return _native_scorer(net, images, size, train=True)


def evaluation_scorer(net: nn.Module, images: int, size: int, kernels: str = "auto") -> Scorer:
    """What scores batches of up to so many images in evaluation, with the weights that the network has now."""
    if not native(net, kernels):
        folded = fold(net)
        return lambda x: logits(folded, x)
    return _native_scorer(net, images, size, train=False)


def _native_scorer(net: nn.Module, images: int, size: int, train: bool) -> Scorer:
    from model.native.engine import Engine

    engine = Engine(net, images, size, train)  # type: ignore[arg-type]
    return lambda x: net.classifier(engine(x))  # type: ignore[operator]


def describe(net: nn.Module, kernels: str = "auto", precision: str = "float32") -> str:
    """For provenance: `native avx512`, or `pytorch`."""
    if not native(net, kernels, precision):
        return "pytorch"
    from model.native.library import load

    found = load()
    assert found is not None
    return f"native {found[0]}"
