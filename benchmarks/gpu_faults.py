"""What breaks a run on a GPU, a process each: `python benchmarks/gpu_faults.py NAME`. See gpu_check.py."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

import benchmarks.bare  # noqa: F401
from ablations.training import run_group
from ablations.training.cuda_graph import CudaGraphStep
from ablations.training.step import TrainStep
from ablations.training.streams import stream_of
from benchmarks.gpu_bench import Bench, Found, bench_of, few_runs, train
from model.ops import REFERENCE


def out_of_memory(bench: Bench) -> Found:
    """Out of memory, then another run in the same process; and one cell of two that train at once."""
    raised = "none on the CPU"
    if not bench.tiny:
        try:
            held = [torch.empty(1 << 34, dtype=torch.uint8, device="cuda") for _ in range(64)]
            raised = f"none: {len(held)} tensors fit"
        except torch.OutOfMemoryError as problem:
            raised = type(problem).__name__
    next_run = states(train(bench, few_runs(bench), bench.pick(2048, 48))[0])
    learn, failing = TrainStep.learn, []

    def too_much(self: TrainStep, *what: Any) -> None:
        failing[:] = failing or [self]
        if failing[0] is self:
            if not bench.tiny:
                torch.empty(1 << 45, dtype=torch.uint8, device="cuda")
            raise torch.OutOfMemoryError("in place of one")
        learn(self, *what)

    TrainStep.learn = too_much
    cells, _, _ = train(bench, few_runs(bench, (1, 3)), bench.pick(6400, 16))
    TrainStep.learn = learn
    first, second = ({key: each for key, each in cells.items() if key[0] == g} for g in (1, 3))
    found = {"raised": raised, "next_run": next_run, "first_of_two_cells": states(first), "second": states(second)}
    right = next_run == found["second"] == ["done"] and found["first_of_two_cells"] == ["OutOfMemoryError"]
    return {**found, "ok": right and (bench.tiny or raised == "OutOfMemoryError")}


def item_in_the_body(bench: Bench) -> Found:
    """A read inside the captured step: it warns, trains eagerly, says why; then another run."""
    body, eager = CudaGraphStep.body, run_group.EagerStep

    def reads(self: CudaGraphStep) -> None:
        body(self)
        self.next.item()

    def fails(_: Any) -> Any:
        raise RuntimeError("in place of a capture's failure")

    CudaGraphStep.body = reads
    if bench.tiny:
        run_group.EagerStep = lambda *what: CudaGraphStep(*what, fails)
    outcomes, told, _ = train(bench, few_runs(bench), bench.pick(2048, 48))
    CudaGraphStep.body, run_group.EagerStep = body, eager
    after, _, _ = train(bench, few_runs(bench), bench.pick(2048, 48))
    said = [event["reason"] for event in told if event.get("captured") is False][:1]
    found = {"trained_eagerly": states(outcomes), "told": said, "next_run": states(after)}
    return {**found, "ok": found["trained_eagerly"] == ["done"] and bool(said)}


def illegal_access(bench: Bench) -> Found:
    """An access outside memory: the run fails, and the worker sees that its GPU is unusable."""
    raised = "nothing"
    try:
        if bench.tiny:
            raise RuntimeError("in place of an illegal access")
        few = torch.zeros(64, device="cuda")
        if bench.ops is REFERENCE:  # a failed assertion on the device: as lasting
            few.index_select(0, torch.full((1 << 20,), 1 << 40, device="cuda"))
        else:
            import triton.language as tl

            from model.gpu import norm_kernels

            shape = {"ACC": tl.float32, "ALIGN": 8, "BM": 32, "BC": 64}
            norm_kernels.moments[1, 1](few, few, few, 1 << 30, 8, 1 << 30, **shape)
        torch.cuda.synchronize()
    except Exception as problem:
        raised = f"{type(problem).__name__}: {str(problem)[:200]}"
    try:
        works = bench.tiny or bool(torch.ones(1, device="cuda").item() == 1)
    except Exception:
        works = False
    return {"raised": raised, "gpu_works_after_it": works, "ok": raised != "nothing" and works is bench.tiny}


def states(outcomes: Found) -> list[str]:
    """What became of runs, each kind once."""
    return sorted({type(e).__name__ if isinstance(e, Exception) else "done" for e in outcomes.values()})


FAULTS: dict[str, Callable[[Bench], Found]] = {
    "out_of_memory": out_of_memory,
    "item_in_the_body": item_in_the_body,
    "illegal_access": illegal_access,
}

if __name__ == "__main__":
    bench = bench_of("--tiny" in sys.argv, 600)
    with torch.cuda.stream(stream_of(bench.device, "check")):
        print(json.dumps(FAULTS[sys.argv[1]](bench), default=str), flush=True)
