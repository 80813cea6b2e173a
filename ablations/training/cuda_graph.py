"""A training step captured once as a CUDA graph and replayed: one launch where there were hundreds."""

import warnings
from collections.abc import Callable, Sequence

import torch

from ablations.training.input.augment import EpochRandomness
from ablations.training.step import EagerStep, TrainStep, interleaved

WARM_UP = 3
"""Steps before capture: libraries load their kernels and take their workspaces, which a graph cannot hold."""


class CudaGraphStep:
    """Replays the step. What changes from step to step lies in buffers of fixed place: a whole epoch's random numbers
    and learning rates, and the number of the step, which the graph itself counts up.

    Capturing runs nothing: the steps before it are training steps like all others.
    """

    def __init__(
        self, work: TrainStep, batch: int, capture: Callable[[Callable[[], None]], Callable[[], None]]
    ) -> None:
        """`capture` turns a function that launches work into one that launches it again."""
        self.work, self.rows, self.batch = work, batch * (work.copies or 1), batch
        self.capture = capture
        self.warm = 0
        self.order = self.unit = self.rates = torch.empty(0)
        self.next = torch.zeros(1, dtype=torch.int64, device=work.device)
        self.replay: Callable[[], None] | None = None
        self.eager: EagerStep | None = None  # instead, where capturing failed
        self.epoch: tuple[Sequence[EpochRandomness], Sequence[float], int] | None = None

    def begin(self, draws: Sequence[EpochRandomness], rates: Sequence[float], first: int) -> None:
        """See Step."""
        self.epoch = (draws, rates, first)
        if self.eager:
            self.eager.begin(draws, rates, first)
            return
        together = interleaved(draws, self.batch, len(rates))
        rows = len(rates) * self.rows
        if not len(self.order):
            self.order = torch.empty(len(rates), self.rows, dtype=torch.int64, device=self.work.device)
            self.unit = torch.empty(len(rates), self.rows, together.unit.shape[1], device=self.work.device)
            self.rates = torch.empty(len(rates), device=self.work.device)
        self.order.copy_(together.order[:rows].view(self.order.shape))
        self.unit.copy_(together.unit[:rows].view(self.unit.shape))
        self.rates.copy_(torch.tensor(rates))
        self.next.fill_(first)

    def __call__(self, k: int) -> None:
        """See Step."""
        if self.replay is None and self.eager is None:
            if self.warm < WARM_UP:
                self.warm += 1
                self._warm_up()
                return
            self._capture()
        if self.eager:
            self.eager(k)
        else:
            assert self.replay is not None
            self.replay()

    def body(self) -> None:
        """The step whose number `next` holds, and on to the next one."""
        order, unit = (each.index_select(0, self.next)[0] for each in (self.order, self.unit))
        self.work.advance(EpochRandomness(order, unit), slice(None), self.rates.index_select(0, self.next))
        self.next += 1

    def _warm_up(self) -> None:
        """Train a step as capturing will: off the default stream."""
        if self.work.device.type != "cuda":
            self.body()
            return
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            self.body()
        torch.cuda.current_stream().wait_stream(side)

    def _capture(self) -> None:
        """Capture, or say why not and go on without."""
        try:
            self.replay = self.capture(self.body)
        except Exception as error:  # whatever a driver or a library may not allow in a graph
            reason = str(error).partition("\n")[0]
            warnings.warn(
                f"The training step could not be captured as a CUDA graph ({type(error).__name__}: {reason}); it is "
                "launched operation by operation, which is slower and gives the same.",
                stacklevel=2,
            )
            for parameters, _ in self.work.optimizer.groups:
                for parameter in parameters:
                    parameter.grad = None
            self.eager = EagerStep(self.work, self.batch)
            assert self.epoch is not None
            self.eager.begin(*self.epoch)


def cuda_graph(body: Callable[[], None]) -> Callable[[], None]:
    """Capture what `body` launches; returns what launches all of it again."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        body()
    return graph.replay
