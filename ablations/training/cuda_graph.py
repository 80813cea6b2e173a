"""Captures the training step as a CUDA graph and replays it: one launch instead of hundreds."""

import gc
import warnings
from collections.abc import Callable, Sequence

import torch

from ablations.training.input.augment import EpochRandomness
from ablations.training.staging import Staging
from ablations.training.step import EagerStep, TrainStep, interleaved

WARM_UP = 3
"""Eager steps before capture, in which libraries load kernels and allocate workspaces; neither can be captured."""


class CudaGraphStep:
    """Replays the captured step.

    Inputs that change lie in static buffers: an epoch's random numbers and learning rates, and the step's number, which
    the graph increments; of data that are not in the device's memory also the images of a batch (see staging.py), and
    in place of the order the labels. Capturing runs nothing; the warm-up steps before it are normal training steps.
    """

    def __init__(
        self, train_step: TrainStep, batch: int, capture: Callable[[Callable[[], None]], Callable[[], None]]
    ) -> None:
        """`capture` records what a function launches and returns a function that replays it."""
        self.train_step, self.rows, self.batch = train_step, batch * (train_step.copies or 1), batch
        self.capture = capture
        loader = train_step.loader
        self.staging = None if loader.resident else Staging(loader, train_step.protocol, self.rows)
        self.warm = 0
        self.order = self.unit = self.rates = torch.empty(0)
        self.next = torch.zeros(1, dtype=torch.int64, device=train_step.device)
        self.replay: Callable[[], None] | None = None
        self.eager: EagerStep | None = None  # used instead if capturing failed
        self.failure: str | None = None  # why it failed
        self.epoch: tuple[Sequence[EpochRandomness], Sequence[float], int] | None = None

    def begin(self, randomness: Sequence[EpochRandomness], rates: Sequence[float], first: int) -> None:
        """See Step."""
        self.epoch = (randomness, rates, first)
        if self.eager:
            self.eager.begin(randomness, rates, first)
            return
        together = interleaved(randomness, self.batch, len(rates))
        rows = len(rates) * self.rows
        if not len(self.order):
            self.order = torch.empty(len(rates), self.rows, dtype=torch.int64, device=self.train_step.device)
            self.unit = torch.empty(len(rates), self.rows, together.unit.shape[1], device=self.train_step.device)
            # torch's fused SGD reads float32 on a GPU, whatever the default type is.
            exact = torch.float32 if self.train_step.device.type == "cuda" else torch.get_default_dtype()
            self.rates = torch.empty(len(rates), device=self.train_step.device, dtype=exact)
        order = together.order[:rows]
        if self.staging:
            self.staging.begin(together, len(rates), first)
            order = self.train_step.loader.labels(order)
        self.order.copy_(order.view(self.order.shape))
        self.unit.copy_(together.unit[:rows].view(self.unit.shape))
        self.rates.copy_(torch.tensor(rates))
        self.next.fill_(first)

    def __call__(self, k: int) -> None:
        """See Step."""
        if self.replay is None and self.eager is None and self.warm == WARM_UP:
            self._capture()
        if self.eager:
            self.eager(k)
            return
        if self.staging:
            self.staging.take()
        if self.replay:
            self.replay()
        else:
            self.warm += 1
            self.body()
        if self.staging:
            self.staging.send(k + 1)

    def body(self) -> None:
        """Run the step with the number in `next`, then increment it."""
        order, unit = (each.index_select(0, self.next)[0] for each in (self.order, self.unit))
        rate, step = self.rates.index_select(0, self.next), self.train_step
        if self.staging:
            step.learn(step.loader.augmented(self.staging.pixels, unit, step.protocol), order, rate)
        else:
            step.advance(EpochRandomness(order, unit), slice(None), rate)
        self.next += 1

    def _capture(self) -> None:
        """Capture the step; if that fails, warn and go on eagerly."""
        gc.collect()  # a graph of an earlier run that is destroyed later may clear workspaces that this one uses
        try:
            self.replay = self.capture(self.body)
        except Exception as error:  # drivers and libraries raise many types
            self.failure = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            warnings.warn(
                f"The training step could not be captured as a CUDA graph ({self.failure}); it is launched operation "
                "by operation, which is slower and gives the same.",
                stacklevel=2,
            )
            for parameters, _ in self.train_step.optimizer.groups:
                for parameter in parameters:
                    parameter.grad = None
            self.eager = EagerStep(self.train_step, self.batch)
            assert self.epoch is not None
            self.eager.begin(*self.epoch)


def cuda_graph(body: Callable[[], None]) -> Callable[[], None]:
    """Capture the kernels that `body` launches, on the current stream; returns the function that replays them.

    The current stream must not be the default one (see streams.py). Warm-up, capture and replays share it, so that
    cuBLAS has one workspace for all.
    """
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=torch.cuda.current_stream()):
        body()
    return graph.replay
