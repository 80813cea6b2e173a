"""Ghost batch normalisation: BatchNorm's statistics over equal parts of a batch, as of GPUs that share a network.

Hoffer, Hubara, Soudry, arXiv 1705.08741. The parts go through the network one after the other and their gradients add
up, so that a network needs the memory of one part, and any kernels that know BatchNorm do.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn


class GhostBatchNorm:
    """The parts of a network's batches.

    Running statistics move once a step, towards the mean of the parts' statistics. That mean does not depend on how
    many processes share the parts: each follows its own, and the mean of what they have is what one has for all.
    """

    def __init__(self, net: nn.Module, parts: int) -> None:
        self.parts = parts
        self.norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
        self.momenta = [norm.momentum or 0.0 for norm in self.norms]

    def each(self, images: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Parts of (B, ...) images and (..., B) labels; the network takes each once, before the next is asked for."""
        if self.parts == 1:
            yield images, labels
            return
        pairs = zip(images.chunk(self.parts), labels.chunk(self.parts, -1), strict=True)
        try:
            for k, pair in enumerate(pairs):
                self._set([share(momentum, self.parts, k) for momentum in self.momenta])
                yield pair
        finally:
            self._set(self.momenta)
        counters = [norm.num_batches_tracked for norm in self.norms if norm.num_batches_tracked is not None]
        torch._foreach_sub_(counters, self.parts - 1)  # it was one batch

    def _set(self, momenta: Sequence[float]) -> None:
        for norm, momentum in zip(self.norms, momenta, strict=True):
            norm.momentum = momentum


def share(momentum: float, parts: int, k: int) -> float:
    """The momentum of part k of a step, such that all parts together move the statistics by `momentum` to their mean.

    Part k weighs share(k) * (1 - share(k + 1)) * ... * (1 - share(parts - 1)) = momentum / parts.
    """
    return momentum / (parts - (parts - 1 - k) * momentum)
