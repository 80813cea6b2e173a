"""Ghost batch normalisation: BatchNorm with statistics of equal parts of a batch (Hoffer et al., arXiv 1705.08741).

Parts go through the network one after the other and gradients accumulate: memory for one part is enough, and any kernel
that computes BatchNorm can be used.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn


class GhostBatchNorm:
    """Splits a network's batches into parts for ghost batch normalisation.

    Running statistics move once a step, towards the mean of the parts' statistics. With several processes, each moves
    towards the mean of its own parts; averaging over processes gives what one process would have.
    """

    def __init__(self, net: nn.Module, parts: int) -> None:
        self.parts = parts
        self.norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
        self.momenta = [norm.momentum or 0.0 for norm in self.norms]

    def each(self, images: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield parts of (B, ...) images and (..., B) labels; run the network once on each before the next is taken."""
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
        torch._foreach_sub_(counters, self.parts - 1)  # all parts count as one batch

    def _set(self, momenta: Sequence[float]) -> None:
        for norm, momentum in zip(self.norms, momenta, strict=True):
            norm.momentum = momentum


def share(momentum: float, parts: int, k: int) -> float:
    """Momentum for part k of a step, so that all parts together move the statistics by `momentum` to their mean.

    Part k weighs share(k) * (1 - share(k + 1)) * ... * (1 - share(parts - 1)) = momentum / parts.
    """
    return momentum / (parts - (parts - 1 - k) * momentum)
