"""A run that several processes train: what each does with the others. Rank 0 has the run; the rest do as it says.

Each takes its rows of every batch, and gradients are averaged (DistributedDataParallel), so that all have the same
weights at all times. Only running statistics differ between two calls of `average`. Orders go through pipes, tensors
through torch.distributed.
"""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from ablations.core.errors import RankLost
from model.backend import Scorer

if TYPE_CHECKING:
    pass


class Peer(Protocol):
    """Another process of the run, as rank 0 sees it."""

    def send(self, order: tuple[Any, ...]) -> None:
        """Give it an order; OSError when it has ended."""

    def lost(self) -> str | None:
        """Why it has ended, or None: it lives. Waits a moment, since ends are not seen at once."""


class DDPGroup:
    """This process among the `size` of a run; `others` are those that rank 0 gives orders to (none elsewhere)."""

    def __init__(self, rank: int, size: int, others: Sequence[Peer] = ()) -> None:
        self.rank, self.size, self.others = rank, size, others

    def tell(self, *order: Any) -> None:
        """From rank 0, have the others do something too; nothing elsewhere."""
        with self.guarded():
            for other in self.others:
                other.send(order)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Errors of what all do together are RankLost, with the reason, where another process has ended.

        Raises:
            RankLost: one has, or does not answer.
        """
        try:
            yield
        except (RuntimeError, OSError, EOFError) as error:
            for other in self.others:
                reason = other.lost()
                if reason:
                    raise RankLost(reason) from error
            if "timed out" in str(error).lower():
                raise RankLost("The processes of this run did not answer one another (runtime.run_timeout).") from error
            raise

    def parallel(self, net: nn.Module, score: Scorer) -> Scorer:
        """`score`, such that gradients of `net` are averaged over all processes as they are made."""
        from torch.nn.parallel import DistributedDataParallel

        gpu = next(net.parameters()).device.index
        # Each has BatchNorm's statistics of its own: nothing is sent with a forward pass (torch renamed the switch).
        known = inspect.signature(DistributedDataParallel).parameters
        silent: dict[str, Any] = {next(k for k in ("forward_sync_buffers", "broadcast_buffers") if k in known): False}
        with self.guarded():
            return DistributedDataParallel(_Scoring(net, score), device_ids=None if gpu is None else [gpu], **silent)

    def waiting(self, score: Scorer) -> AbstractContextManager[None]:
        """While this lasts, gradients of what `parallel` gave only add up here; they are averaged with the next."""
        held: AbstractContextManager[None] = score.no_sync()  # type: ignore[attr-defined]
        return held

    def share(self, tensors: Sequence[Tensor]) -> None:
        """Give all processes rank 0's values."""
        with self.guarded():
            for tensor in tensors:
                torch.distributed.broadcast(tensor.detach(), 0)

    def average(self, buffers: Sequence[Tensor]) -> None:
        """Give all processes the mean of their running statistics (counters are equal anyway)."""
        held = [buffer for buffer in buffers if buffer.is_floating_point()]
        with self.guarded():
            flat = torch.cat([buffer.flatten() for buffer in held])
            torch.distributed.all_reduce(flat)
        means = torch.split(flat / self.size, [buffer.numel() for buffer in held])
        for buffer, mean in zip(held, means, strict=True):
            buffer.copy_(mean.view_as(buffer))

    def mean_and_sum(self, loss: Tensor, hits: Tensor) -> tuple[Tensor, Tensor]:
        """Over all processes: of a step's losses the mean, of its hits the sum; of one shape."""
        both = torch.stack([loss / self.size, hits.to(loss.dtype)])  # exact below 2^24 images
        torch.distributed.all_reduce(both)
        return both[0], both[1].to(hits.dtype)


class _Scoring(nn.Module):
    """What DistributedDataParallel wraps: parameters of a network, and any way to compute it."""

    def __init__(self, net: nn.Module, score: Scorer) -> None:
        super().__init__()
        self.net, self.score = net, score

    def forward(self, x: Tensor) -> Tensor:
        return self.score(x)
