"""Settles on a GPU what no CPU can, in eight minutes at most: `python benchmarks/gpu_check.py --out FOLDER`.

Needs torch, Triton and numpy only; images are random numbers. Each step writes FOLDER/<step>.json whenever it has found
something, an error included. A table comes last, of what was found and what was asked for; the exit code is 0 if all of
that holds. `--tiny` goes through all of it on the CPU, where times mean nothing.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts; one step is deterministic

import torch
from torch import Tensor

import benchmarks.bare  # noqa: F401
from ablations.core.device import fix_numerics
from ablations.core.processes import cores
from ablations.training.cuda_graph import cuda_graph
from ablations.training.input import batches
from ablations.training.streams import stream_of
from ablations.training.trainer import build_model
from benchmarks import gpu_faults
from benchmarks.gpu_bench import (
    Bench,
    Found,
    bench_of,
    captured_step,
    error,
    few_runs,
    layers,
    poisoned,
    replay,
    replayed,
    roofs,
    run_of,
    run_steps,
    step_of,
    synchronise,
    there_and_back,
    timed,
    train,
)
from model.fused import FusedShuffleNet
from model.ops import REFERENCE, Ops

SECONDS = 480.0
"""Longest time for all steps: one that hangs is cut off by it. From `SPARE` seconds before, none goes on."""

SPARE = 15.0

Step = Callable[[Bench], Iterator[Found]]
"""Yields what it has found as it goes; `table` holds rows for the table, see `row`."""


def row(what: str, found: Any, asked: str = "", holds: bool | None = None) -> Found:
    """A row of the table. `holds`: whether what was found is what was asked for; None: to look at."""
    return {"what": what, "found": found, "asked for": asked, "holds": holds}


def versions(bench: Bench) -> Iterator[Found]:
    """Versions, compiler, and whether a kernel could be launched; without, plain PyTorch is measured."""
    try:
        import triton

        has = triton.__version__
    except ImportError:
        has = "absent"
    device = platform.machine() if bench.tiny else str(torch.cuda.get_device_properties(0))
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    header = (Path(sysconfig.get_paths()["include"]) / "Python.h").exists()
    said = f"torch {torch.__version__}, Triton {has}, CUDA {torch.version.cuda}, Python {platform.python_version()}"
    mps = shutil.which("nvidia-cuda-mps-control")
    table = [row("device", device), row("versions", said), row("MPS's program", mps or "absent")]
    table += [row("C compiler; Python.h", f"{compiler or 'absent'}; {'there' if header else 'absent'}")]
    if not bench.tiny:
        table += [row("Triton's first kernel", bench.failure or "runs", "runs", bench.failure is None)]
    copy, product = roofs(bench.device).values()
    table += [row("a copy; a bfloat16 product", f"{copy / 1e12:.3g} TB/s; {product / 1e12:.3g} TFLOP/s")]
    yield {"tiny": bench.tiny, **roofs(bench.device), "table": table}


def compiling(bench: Bench) -> Iterator[Found]:
    """Triton's kernels for all cells, on all cores: seconds, and what could not be compiled."""
    from model.gpu import OPS
    from model.gpu.precompile import precompile

    rows: list[Found] = []
    failed: set[str] = set()
    for groups, width, fused in bench.cells:
        for precision in bench.precisions:
            one: Any = build_model(run_of(bench, groups, width, 0)).to(bench.device)
            net = FusedShuffleNet([one] * fused, OPS)
            began = time.perf_counter()
            failed |= {repr(each)[:300] for each in precompile(net, getattr(torch, precision), cores())}
            seconds = time.perf_counter() - began
            rows.append({"g": groups, "width": width, "precision": precision, "seconds": seconds})
            yield {"rows": rows, "not_compiled": sorted(failed)}
    kinds = f"{len(failed)} kinds of errors"
    took = f"{sum(each['seconds'] for each in rows):.1f} s on {cores()} cores"
    yield {"table": [row("kernels of all cells", took), row("not compiled", kinds, "0", bench.tiny or not failed)]}


def kernels(bench: Bench) -> Iterator[Found]:
    """Each layer at real shapes: error against float64, outputs poisoned; time there and back, against PyTorch's and a
    copy of what must be read and written."""
    rows: list[Found] = []
    side, batch, times = bench.pick(16, 4), bench.pick(bench.batch, 2), bench.pick(20, 1)
    for groups, width, fused in bench.cells:
        for precision in bench.precisions:
            dtype = getattr(torch, precision)
            for name, channels, passes, layer, call in layers(groups, width, fused, bench.device):
                layer = layer.to(bench.device).to(memory_format=torch.channels_last)
                x = torch.randn(batch, channels, side, side, device=bench.device).to(dtype)
                x = x.to(memory_format=torch.channels_last)
                mixed = torch.autocast(bench.device.type, dtype, enabled=dtype != torch.float32, cache_enabled=False)
                with mixed, poisoned():
                    found = there_and_back(bench.ops, layer, call, x)
                exact = there_and_back(REFERENCE, layer.double(), call, x.double())
                layer.float()
                worst = max(error(a, b) for a, b in zip(found, exact, strict=True))
                rows.append({"g": groups, "width": width, "layer": name, "precision": precision, "error": worst})
                if precision == bench.precisions[0]:
                    with mixed:
                        for key, path in (("ms", bench.ops), ("pytorch_ms", REFERENCE)):
                            act = replayed(partial(there_and_back, path, layer, call, x), bench.device)
                            rows[-1][key] = 1e3 * timed(act, times)
                    moved = passes * x.numel() * x.element_size()
                    rows[-1]["copy_ms"] = 1e3 * moved / roofs(bench.device)["copy_bytes_per_second"]
            yield {"rows": rows}
    table = []
    for precision in bench.precisions:
        bound = 2e-2 if precision == "bfloat16" else 1e-4
        errors = [each["error"] for each in rows if each["precision"] == precision]
        right = all(each < bound for each in errors)  # not a number is not below it
        table.append(row(f"largest error, {precision}", max(errors), f"below {bound:g}", right))
    for name in dict.fromkeys(each["layer"] for each in rows):
        same = [each for each in rows if each["layer"] == name and "ms" in each]
        ours, theirs, copy = (sum(each[key] for each in same) for key in ("ms", "pytorch_ms", "copy_ms"))
        said = f"{ours:.3g} ms; PyTorch {theirs:.3g}, a copy {copy:.3g}"
        table.append(row(f"{name}, all {len(same)} cells, there and back", said))
    yield {"table": table}


def weights_after(bench: Bench, runs: list[Any], steps: int, captured: bool, poison: int | None = None) -> list[Tensor]:
    """All weights of each network of a fused one after some steps; `poison`: a network that starts with NaN."""
    torch.manual_seed(0)  # of the random images
    step, work = step_of(bench, runs, bench.ops, captured)
    net: Any = work.score
    if poison is not None:
        with torch.no_grad():
            net.stage3[1].conv1.weight.chunk(len(runs))[poison].fill_(float("nan"))
    run_steps(step, 0, steps)
    return [torch.cat([p.detach().chunk(len(runs))[k].flatten() for p in net.parameters()]) for k in range(len(runs))]


def equality(bench: Bench) -> Iterator[Found]:
    """Captured against eager from equal state, as it trains and with runtime.deterministic; a network that diverges
    beside others; memory over four groups."""
    for precision in bench.precisions:
        runs = [run_of(bench, 3, 0.25, seed, precision) for seed in range(bench.pick(3, 2))]
        after = partial(weights_after, bench, runs, bench.pick(20, 6))
        eager, first, second = after(False), after(True), after(True)
        table = [row(f"captured against eager, {precision}", max(map(error, first, eager)))]
        yield {"table": [*table, row("captured twice, to the bit", all(map(torch.equal, first, second)))]}
        fix_numerics(deterministic=True)
        eager, first, second, broken = after(False), after(True), after(True), after(True, 1)
        torch.use_deterministic_algorithms(False)
        captured, twice = all(map(torch.equal, first, eager)), all(map(torch.equal, first, second))
        beside = all(torch.equal(broken[k], first[k]) for k in range(len(runs)) if k != 1)
        yield {
            "table": [
                row(f"deterministic: captured is eager, to the bit, {precision}", captured, "yes", captured),
                row("deterministic: captured twice, to the bit", twice, "yes", twice),
                row("beside a network that diverges, to the bit", beside, "yes", beside),
                row("that one does diverge", bool(broken[1].isnan().any()), "yes", bool(broken[1].isnan().any())),
            ]
        }
    memory = []
    for seed in range(4):
        train(bench, [replace(one, seed=one.seed + 2 * seed) for one in few_runs(bench)], bench.pick(2048, 48))
        memory.append(0 if bench.tiny else torch.cuda.memory_allocated())
    held = memory[-1] <= memory[1] + (1 << 20)
    yield {"table": [row("bytes left after each of four groups", memory, "no more after the second", held)]}


def profile(act: Callable[[], Any], times: int) -> tuple[float, list[Found]]:
    """Kernels per call, and those that take most of the time."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiled

    activities = [ProfilerActivity.CUDA] if torch.cuda.is_available() else [ProfilerActivity.CPU]
    with profiled(activities=activities) as seen:
        act()
        synchronise()
    rows = [{"kernel": e.key[:60], "us": getattr(e, "self_device_time_total", 0) / times, "n": e.count / times}
            for e in seen.key_averages()]  # fmt: skip
    if torch.cuda.is_available():  # calls of the driver, which take no time on the GPU, are listed too
        rows = [each for each in rows if each["us"]]
    return sum(each["n"] for each in rows), sorted(rows, key=lambda each: -each["us"])[:15]


def steps(bench: Bench) -> Iterator[Found]:
    """Milliseconds and nodes of a step for cells of each kind, where the time goes, and what an empty node costs."""
    rows: list[Found] = []
    times = bench.pick(100, 3)
    for groups, width, fused in bench.cells:
        began = time.perf_counter()
        step = captured_step(bench, groups, width, fused)
        ready = time.perf_counter() - began
        each = timed(partial(replay, step, times), 1) / times
        nodes, where = profile(partial(replay, step, 3), 3)
        rate = fused * bench.batch / each
        rows.append({"g": groups, "width": width, "networks": fused, "ms": 1e3 * each, "nodes": nodes, "where": where})
        rows[-1] |= {"images_per_second": rate, "ready_seconds": ready}
        if not bench.tiny:
            rows[-1]["peak_gb"] = torch.cuda.max_memory_allocated() / 1e9
            torch.cuda.reset_peak_memory_stats()
        said = f"{1e3 * each:.3g} ms, {nodes:.0f} nodes, {rate:.0f} images/s; ready in {ready:.1f} s"
        del step
        yield {"rows": rows, "table": [row(f"a step of {fused} networks, g{groups} {width:g}x", said)]}
    one, count = torch.zeros(1, device=bench.device), bench.pick(1000, 10)

    def little() -> None:
        for _ in range(count):
            one.add_(1)

    empty = 1e6 * timed(little if bench.tiny else cuda_graph(little), 3) / count
    yield {"empty_node_us": empty, "table": [row("an empty node of a graph", f"{empty:.3g} µs")]}


def graphs_at_once(bench: Bench) -> list[Found]:
    """1, 2, 3 and 5 graphs at once, each on its own stream."""
    rows, times, counts = [], bench.pick(50, 2), bench.pick((1, 2, 3, 5), (1, 2))
    groups, width, fused = bench.cells[0]
    streams = [stream_of(bench.device, lane) for lane in range(max(counts))]
    graphs = []
    for stream in streams:
        with torch.cuda.stream(stream):
            graphs.append(captured_step(bench, groups, width, fused))
    for count in counts:
        took = []
        for _ in range(3):
            for step in graphs:
                step.next.zero_()
            synchronise()
            began = time.perf_counter()
            for _ in range(times):
                for step, stream in zip(graphs[:count], streams, strict=False):
                    with torch.cuda.stream(stream):
                        step.replay()
            synchronise()
            took.append(time.perf_counter() - began)
        seconds = sorted(took)[1] / times
        rate = count * fused * bench.batch / seconds
        rows.append({"graphs": count, "ms": 1e3 * seconds, "images_per_second": rate})
    return rows


def same(a: Any, b: Any) -> bool:
    """Whether two results have the same weights, to the bit."""
    for each in (a, b):
        if isinstance(each, Exception):
            raise each
    theirs = b.model.state_dict()
    return all(torch.equal(tensor, theirs[name]) for name, tensor in a.model.state_dict().items())


def together(bench: Bench) -> Iterator[Found]:
    """1, 2, 3 and 5 graphs at once; then two cells by the trainer, at once and one by one."""
    rows = graphs_at_once(bench)
    said = "; ".join(f"{each['graphs']}: {each['images_per_second']:.0f}" for each in rows)
    yield {"rows": rows, "table": [row("images/s of so many graphs at once", said)]}
    images, seeds = bench.pick(6400, 16), bench.pick(3, 1)
    train(bench, few_runs(bench, (1, 3), seeds), images)  # compiles what is not compiled yet
    beside, _, at_once = train(bench, few_runs(bench, (1, 3), seeds), images)
    alone = [train(bench, few_runs(bench, (cell,), seeds), images) for cell in (1, 3)]
    equal = all(same(beside[key], each) for found, _, _ in alone for key, each in found.items())
    took = f"{at_once:.2f} s; one by one {sum(seconds for _, _, seconds in alone):.2f} s"
    table = [row("two cells trained at once", took), row("they are equal, to the bit", equal, "yes", equal)]
    yield {"table": table}


def epochs(bench: Bench) -> Iterator[Found]:
    """Two epochs with checkpoints and evaluation, against the same steps alone; and with the data not on the GPU."""
    images, seeds = bench.images, bench.pick(3, 2)
    with tempfile.TemporaryDirectory() as folder:
        outcomes, told, seconds = train(bench, few_runs(bench, seeds=seeds, epochs=2), images, Path(folder))
    failed = [repr(each) for each in outcomes.values() if isinstance(each, Exception)]
    step, per_epoch = captured_step(bench, 3, 0.25, seeds), images // bench.batch
    alone = 2 * timed(partial(replay, step, per_epoch), 1)
    spent = next((each.seconds for each in outcomes.values() if not isinstance(each, Exception)), {})
    parts = ", ".join(f"{key} {value:.2f}" for key, value in spent.items())
    engine = next((event["kernels"] for event in told if "kernels" in event), "")
    table = [row(f"two epochs of {seeds} runs, by {engine}", f"{seconds:.2f} s ({parts}); the steps alone {alone:.2f}")]
    yield {"table": [*table, row("runs that failed", failed or "none", "none", not failed)]}
    runs = few_runs(bench, seeds=seeds, epochs=2)
    here, _, resident = train(bench, runs, bench.pick(6400, 16))
    limit, batches.ON_DEVICE_BYTES = batches.ON_DEVICE_BYTES, 0
    try:
        elsewhere, _, sent = train(bench, runs, bench.pick(6400, 16))
    finally:
        batches.ON_DEVICE_BYTES = limit
    equal = all(same(here[key], elsewhere[key]) for key in here)
    table = [row("the data not on the GPU", f"{sent:.2f} s; on it {resident:.2f}")]
    yield {"table": [*table, row("they are equal, to the bit", equal, "yes", equal)]}


def faults(bench: Bench) -> Iterator[Found]:
    """What breaks a run: each in a process of its own, since some leave the GPU unusable in it."""
    for name in gpu_faults.FAULTS:
        command = [sys.executable, gpu_faults.__file__, name, *(["--tiny"] if bench.tiny else [])]
        most, left = bench.pick(60.0, 600.0), bench.until - time.monotonic()
        limit = max(10.0, min(most, left))
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
            said = [line for line in done.stdout.splitlines() if line.startswith("{")]
            found = json.loads(said[-1]) if said else {"error": done.stderr[-1500:]}
            found["exit_code"] = done.returncode  # a process whose GPU is unusable may not end well
        except subprocess.TimeoutExpired:
            found = {"error": f"no answer in {limit:.0f} s"}
        says = ", ".join(f"{key}: {value}" for key, value in found.items() if key != "ok")
        holds = None if "exit_code" not in found and limit < most else bool(found.get("ok"))
        yield {name: found, "table": [row(name.replace("_", " "), says[-200:], "noticed", holds)]}


def shapes_of(bench: Bench, groups: int, width: float, fused: int) -> Counter[tuple[int, int, int, int]]:
    """(rows, groups, channels in and out of a group) of the 1x1 convolutions in a step, and how many there are."""
    seen: Counter[tuple[int, int, int, int]] = Counter()

    def noted(x: Tensor, conv: torch.nn.Conv2d) -> Tensor:
        rows = bench.batch * x.shape[2] * x.shape[3]
        seen[rows, conv.groups, conv.in_channels // conv.groups, conv.out_channels // conv.groups] += 1
        return REFERENCE.pointwise(x, conv)

    nets: Any = [build_model(run_of(bench, groups, width, seed)).to(bench.device) for seed in range(fused)]
    with torch.no_grad():
        net = FusedShuffleNet(nets, replace(REFERENCE, pointwise=noted))
        net(torch.zeros(2, 3 * fused, 32, 32, device=bench.device))
    return seen


def products(bench: Bench) -> Iterator[Found]:
    """The products of a step's 1x1 convolutions against a copy of what they read and write: forward, gradient of the
    input, gradient of the weights. A kernel of its own would save at most `ms` - `copy_ms`."""
    from model.gpu.pointwise import _product, product_as

    rows, each = list[Found](), list[Found]()
    dtype, times = getattr(torch, bench.precisions[0]), bench.pick(20, 2)
    for groups, width, fused in bench.cells:
        total: Found = {"g": groups, "width": width, "networks": fused, "ms": 0.0, "copy_ms": 0.0}
        for shape, count in shapes_of(bench, groups, width, fused).items():
            m, g, a, b = shape
            x, grad, weight = (
                torch.randn(*size, device=bench.device, dtype=dtype) for size in ((m, g, a), (m, g, b), (g, b, a))
            )
            acts = {
                "forward_ms": partial(_product, x, weight.mT),
                "input_ms": partial(_product, grad, weight),
                "weight_ms": partial(product_as, grad.permute(1, 2, 0), x.transpose(0, 1), torch.float32),
            }
            moved = (x.numel() + grad.numel()) * x.element_size()
            least = 1e3 * moved / roofs(bench.device)["copy_bytes_per_second"]
            each.append({"shape": shape, "count": count, "copy_ms": least})
            for name, act in acts.items():
                # Not kept: a graph that is destroyed later may clear cuBLAS's workspace, which the next one uses.
                graph = replayed(lambda act=act: [act() for _ in range(times)], bench.device)
                each[-1][name] = took = 1e3 * timed(graph, 3) / times
                total[name] = total.get(name, 0.0) + count * took
                total["ms"] += count * took
                total["copy_ms"] += count * least
        rows.append(total)
        said = f"{total['ms']:.3g} ms of each step; a copy {total['copy_ms']:.3g}"
        table = [row(f"1x1 convolutions of {fused} networks, g{groups} {width:g}x", said)]
        yield {"rows": rows, "each": each, "table": table}


def ways(bench: Bench) -> Iterator[Found]:
    """The same cell trained in each way, from plain PyTorch on: what each of them is worth."""
    groups, width, fused = bench.cells[-1 if bench.tiny else 2]
    every: list[tuple[str, int, Ops | None, bool]] = [
        ("a network, eager", 1, None, False),
        ("captured", 1, None, True),
        ("captured, kernels", 1, bench.ops, True),
        ("fused, eager", fused, REFERENCE, False),
        ("fused, captured", fused, REFERENCE, True),
        ("fused, captured, kernels", fused, bench.ops, True),
    ]
    rows: list[Found] = []
    for name, networks, ops, captured in every:
        runs = [run_of(bench, groups, width, seed) for seed in range(networks)]
        step, _ = step_of(bench, runs, ops, captured)
        run_steps(step, 0, 5)
        began, count = time.perf_counter(), bench.pick(50, 3)
        run_steps(step, 5, count)
        each = (time.perf_counter() - began) / count
        rate = networks * bench.batch / each
        rows.append({"way": name, "networks": networks, "ms": 1e3 * each, "images_per_second": rate})
        said = f"{1e3 * each:.3g} ms, {rate:.0f} images/s, {rate / rows[0]['images_per_second']:.1f} times eager"
        del step
        yield {"rows": rows, "table": [row(f"g{groups} {width:g}x, {networks} at once: {name}", said)]}


STEPS: tuple[Step, ...] = (
    versions, compiling, kernels, equality, steps, together, epochs, faults, products, ways,
)  # fmt: skip
"""In this order: where time runs out, what has to be right was looked at, and what would make it faster was not."""


def take(step: Step, bench: Bench, path: Path) -> list[Found]:
    """Run a step, and write what it has found each time that it has found more; returns rows of the table."""
    began, state = time.monotonic(), "out of time"
    found, table = Found(), list[Found]()

    def write() -> None:
        content = {"state": state, "took": time.monotonic() - began, **found, "table": table}
        path.write_text(json.dumps(content, indent=1, default=str) + "\n")

    try:
        for part in step(bench) if began < bench.until else ():
            table += part.pop("table", [])
            found |= part
            write()
            if time.monotonic() > bench.until:
                break
        else:
            state = "done" if began < bench.until else state
    except Exception as problem:
        state, found["error"] = "failed", traceback.format_exc()[-3000:]
        table.append(row("error", f"{type(problem).__name__}: {problem}"[:200], "none", False))
    write()
    head = f"{step.__name__}: {state}, {time.monotonic() - began:.0f} s"
    print(head, flush=True)
    return [{"step": head if k == 0 else "", **each} for k, each in enumerate(table or [row("nothing yet", "")])]


def markdown(rows: Sequence[Found]) -> str:
    """The table."""

    def show(value: Any) -> str:
        if isinstance(value, bool):
            return "yes" if value else "no"
        return f"{value:.3g}" if isinstance(value, float) else str(value).replace("|", "/").replace("\n", " ")

    lines = ["| step | what | found | asked for | holds |", "|---|---|---|---|---|"]
    for each in rows:
        holds = {None: "", True: "yes", False: "**no**"}[each["holds"]]
        cells = [*(show(each[key]) for key in ("step", "what", "found", "asked for")), holds]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the steps and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", "results/bench-gpu")))
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--tiny", action="store_true", help="on the CPU, to try the script")
    names = [step.__name__ for step in STEPS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="these steps, after mending")
    chosen = parser.parse_args(arguments)
    chosen.out.mkdir(parents=True, exist_ok=True)
    rows: list[Found] = []

    def report() -> None:
        text = markdown(rows)
        (chosen.out / "README.md").write_text(f"# GPU check\n\n`python benchmarks/gpu_check.py`\n\n{text}\n")
        print(text, flush=True)

    def cut() -> None:
        rows.append({"step": "the next: cut off", **row("it hangs or is slow", "", "", False)})
        report()
        os._exit(2)

    watch = threading.Timer(chosen.seconds, cut)
    watch.daemon = True
    watch.start()
    bench = bench_of(chosen.tiny, chosen.seconds - SPARE)
    fix_numerics(deterministic=False)
    with torch.cuda.stream(stream_of(bench.device, "check")):  # the default one cannot be captured
        for number, step in enumerate(STEPS):
            if step.__name__ in chosen.only:
                rows += take(step, bench, chosen.out / f"{number}-{step.__name__}.json")
                if not bench.tiny:
                    torch.cuda.empty_cache()
    watch.cancel()
    report()
    return int(any(each["holds"] is False or "out of time" in each["step"] for each in rows))


if __name__ == "__main__":
    sys.exit(main())
