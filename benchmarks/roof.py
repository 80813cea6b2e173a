"""How fast this machine multiplies and copies: `python -m benchmarks.roof`, the roof that training is measured against.

On the CPU one thread alone, and one process for each core at once, which is what training on a process per core sees.
On a GPU bfloat16 products and copies in its memory.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ablations.core.paths import ROOT
from benchmarks import environment

SIZE = 1024
"""Rows and columns of the CPU's matrices: three of them fill 12 MB, a product takes some 2 * 1024^3 operations."""

GPU_SIZE = 8192

COPIES = {"L2": 1 << 19, "DRAM": 1 << 29}
"""Bytes that a copy reads, and writes as many: half a megabyte stays in most cores' L2, half a gigabyte in no cache."""


@dataclass(frozen=True)
class Roof:
    """Rates of one core (or of the GPU): GFLOP/s of a matrix product, and GB/s read plus written by copies."""

    gflops: float
    copies: dict[str, float]


def measure(device: str = "cpu", seconds: float = 1.0) -> dict[str, Roof]:
    """The roofs by what they are of: `one core alone` and `per core, all busy`, or `GPU`."""
    if device == "cuda":
        return {"GPU": _gpu(seconds)}
    return {"one core alone": _per_core(1, seconds), "per core, all busy": _per_core(environment.cores(), seconds)}


def ceiling(roofs: dict[str, Roof]) -> float:
    """The GFLOP/s that training on all cores, or on the GPU, could reach at most, per core or GPU."""
    return (roofs.get("GPU") or roofs["per core, all busy"]).gflops


def share(macs: int, images_per_second: float, gflops: float) -> float:
    """How much of the roof training reaches: 0 to 1.

    Args:
        macs: multiply-adds of one image's forward pass, two operations each; the backward pass takes twice as many.
        images_per_second: on one core, where gflops is one core's.
    """
    return 3 * 2 * macs * images_per_second / (gflops * 1e9)


def _per_core(processes: int, seconds: float) -> Roof:
    """The mean of so many processes of one thread that measure at the same time, each on a core of its own."""
    command = [sys.executable, "-m", "benchmarks.roof", "--core", "--seconds", str(seconds)]
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=surroundings, text=True)
        for _ in range(processes)
    ]
    for process in started:  # all have imported torch, and measure only from here on
        assert process.stdout is not None and process.stdout.readline().strip() == "ready"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    found = [json.loads(process.communicate()[0]) for process in started]
    copies = {name: sum(one["copies"][name] for one in found) / processes for name in COPIES}
    return Roof(sum(one["gflops"] for one in found) / processes, copies)


def _core(seconds: float) -> dict[str, object]:
    """What one thread does, measured here."""
    torch.set_num_threads(1)
    a, b, c = (torch.randn(SIZE, SIZE) for _ in range(3))
    gflops = 2 * SIZE**3 / best(lambda: torch.mm(a, b, out=c), seconds) / 1e9
    copies = {}
    for name, size in COPIES.items():
        source, target = torch.ones(size // 4), torch.empty(size // 4)
        many = max(1, (1 << 24) // size)  # a small copy takes microseconds: too little to time alone

        def copy(source: torch.Tensor = source, target: torch.Tensor = target, many: int = many) -> None:
            for _ in range(many):
                target.copy_(source)

        copies[name] = 2 * size * many / best(copy, seconds) / 1e9
    return {"gflops": gflops, "copies": copies}


def _gpu(seconds: float) -> Roof:
    a, b = (torch.randn(GPU_SIZE, GPU_SIZE, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    product = best(lambda: torch.mm(a, b), seconds, torch.cuda.synchronize)
    source = torch.ones(1 << 28, device="cuda")
    target = torch.empty_like(source)
    copy = best(lambda: target.copy_(source), seconds, torch.cuda.synchronize)
    return Roof(2 * GPU_SIZE**3 / product / 1e9, {"memory": 2 * source.nbytes / copy / 1e9})


def best(call: Callable[[], object], seconds: float, wait: Callable[[], None] = lambda: None) -> float:
    """Seconds of the fastest of the calls that fit into `seconds`: a roof is what is possible, not what is usual."""
    call()
    wait()
    fastest, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        call()
        wait()
        fastest = min(fastest, time.perf_counter() - began)
    return fastest


def rows(roofs: dict[str, Roof]) -> list[dict[str, object]]:
    """One row for each roof: of what, GFLOP/s, GB/s of copies."""
    return [
        {"of": name, "matrix product GFLOP/s": round(roof.gflops, 1)}
        | {f"copy GB/s, {where}": round(rate, 1) for where, rate in roof.copies.items()}
        for name, roof in roofs.items()
    ]


def main() -> None:
    """Print the roofs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--seconds", type=float, default=1.0, help="for each number")
    parser.add_argument("--core", action="store_true", help="one core, as JSON, once told to go (used by itself)")
    chosen = parser.parse_args()
    if chosen.core:
        print("ready", flush=True)
        sys.stdin.readline()
        print(json.dumps(_core(chosen.seconds)))
        return
    print(environment.line(chosen.device))
    for row in rows(measure(chosen.device, chosen.seconds)):
        print(", ".join(f"{key} {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
