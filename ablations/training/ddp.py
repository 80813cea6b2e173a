"""Data-parallel training of a run by several processes; rank 0 controls the others.

Each process takes its rows of every batch and DistributedDataParallel averages gradients, so all have equal weights at
all times. Only BatchNorm's running statistics differ between calls of `average`. Commands go through pipes, tensors
through torch.distributed.
"""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from threading import Event
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ablations.core.errors import RankLost
from model.backend import Scorer


class Peer(Protocol):
    """Rank 0's handle of another process of the run."""

    def send(self, order: tuple[Any, ...]) -> None:
        """Send a command: (name, *arguments). OSError if the process has ended."""

    def lost(self) -> str | None:
        """Why the process has ended, or None if it lives. Waits seconds: an end is not seen at once."""


class DDPGroup:
    """This process as `rank` among the `size` of a run. `peers`: the other processes on rank 0, empty elsewhere.

    `died` is set by whoever sees that a peer has ended (see ddp_processes.watch_ranks): collective operations that were
    aborted for it need not raise anything.
    """

    def __init__(self, rank: int, size: int, peers: Sequence[Peer] = ()) -> None:
        self.rank, self.size, self.peers = rank, size, peers
        self.died, self.noticed = Event(), Event()

    def tell(self, *order: Any) -> None:
        """On rank 0, send a command to all other processes; does nothing on the others."""
        with self.guarded():
            for peer in self.peers:
                peer.send(order)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Turn errors of collective operations into RankLost, with the reason, if another process has ended.

        Raises:
            RankLost: another process has ended or does not answer.
        """
        try:
            yield
            if self.died.is_set():
                raise RuntimeError("collective operations were aborted")
        except (RuntimeError, ValueError, OSError, EOFError) as error:  # ValueError: the group is gone
            self.noticed.set()
            for peer in self.peers:
                reason = peer.lost()
                if reason:
                    raise RankLost(reason) from error
            if "timed out" in str(error).lower():
                raise RankLost("The processes of this run did not answer one another (runtime.run_timeout).") from error
            raise

    def parallel(self, net: nn.Module, score: Scorer) -> Scorer:
        """Wrap `score` in DistributedDataParallel: gradients of `net` are averaged over all processes in backward."""
        from torch.nn.parallel import DistributedDataParallel

        gpu = next(net.parameters()).device.index
        # Each process keeps its own BatchNorm statistics: no buffers are sent in forward (torch renamed the argument).
        known = inspect.signature(DistributedDataParallel).parameters
        silent: dict[str, Any] = {next(k for k in ("forward_sync_buffers", "broadcast_buffers") if k in known): False}
        with self.guarded():
            return DistributedDataParallel(_Scoring(net, score), device_ids=None if gpu is None else [gpu], **silent)

    def waiting(self, score: Scorer) -> AbstractContextManager[None]:
        """Context in which gradients of `parallel`'s scorer accumulate locally, to be averaged in a later backward."""
        held: AbstractContextManager[None] = score.no_sync()  # type: ignore[attr-defined]
        return held

    def share(self, tensors: Sequence[Tensor]) -> None:
        """Broadcast rank 0's values to all processes."""
        with self.guarded():
            for tensor in tensors:
                torch.distributed.broadcast(tensor.detach(), 0)

    def average(self, buffers: Sequence[Tensor]) -> None:
        """Average floating-point buffers (running statistics) over all processes; integer counters are equal anyway."""
        held = [buffer for buffer in buffers if buffer.is_floating_point()]
        with self.guarded():
            flat = torch.cat([buffer.flatten() for buffer in held])
            torch.distributed.all_reduce(flat)
        means = torch.split(flat / self.size, [buffer.numel() for buffer in held])
        for buffer, mean in zip(held, means, strict=True):
            buffer.copy_(mean.view_as(buffer))

    def mean_and_sum(self, loss: Tensor, hits: Tensor) -> tuple[Tensor, Tensor]:
        """Reduce a step over all processes: mean of losses, sum of hits, in tensors of one shape."""
        both = torch.stack([loss / self.size, hits.to(loss.dtype)])  # exact below 2^24 images
        torch.distributed.all_reduce(both)
        return both[0], both[1].to(hits.dtype)


class _Scoring(nn.Module):
    """Module for DistributedDataParallel: a network's parameters with the function that computes it."""

    def __init__(self, net: nn.Module, score: Scorer) -> None:
        super().__init__()
        self.net, self.score = net, score

    def forward(self, x: Tensor) -> Tensor:
        return self.score(x)
