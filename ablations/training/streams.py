"""CUDA streams of this process, and several trainings at once: a step each in turn, each on a stream of its own.

A step of a small network, launched as a CUDA graph, leaves most of a GPU idle. On streams, steps of several networks
overlap; the CPU only launches them.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from functools import lru_cache
from typing import Any, TypeVar

import torch

Outcome = TypeVar("Outcome")

ENDED: Any = object()


@lru_cache(maxsize=32)
def stream_of(device: torch.device, name: int | str) -> Any:
    """The stream of this name, the same for as long as the process lives; None on the CPU.

    cuBLAS keeps a workspace of tens of MiB for each stream that it has seen: with a new one for each run, memory would
    grow with the number of runs.
    """
    return torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]


def in_turn(trainings: Iterable[Iterator[Outcome | None]], at_once: int, device: torch.device) -> Iterator[Outcome]:
    """Advance `at_once` trainings in turn, each up to its next None; as one ends, the next one begins.

    Yields what trainings yield besides None, after the work on their streams is done. What one raises ends all.
    """
    waiting, active = deque(trainings), dict[int, Iterator[Outcome | None]]()
    while waiting or active:
        for lane in range(at_once):
            if lane not in active and waiting:
                active[lane] = waiting.popleft()
                stream = stream_of(device, lane)
                if stream:
                    stream.wait_stream(torch.cuda.current_stream(device))
        for lane in sorted(active):
            while (outcome := _advance(active[lane], stream_of(device, lane))) is not None:
                if outcome is ENDED:
                    del active[lane]
                    break
                yield outcome


def _advance(training: Iterator[Outcome | None], stream: Any) -> Outcome | None:
    """The next value of a training whose work goes to this stream; ENDED after the last."""
    with torch.cuda.stream(stream) if stream else nullcontext():
        outcome = next(training, ENDED)
    if stream and outcome is not None:
        stream.synchronize()  # whoever takes it reads and frees it on another stream
    return outcome
