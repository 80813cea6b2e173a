"""Where a training step's time goes, by operator: of the reference loop and of ours, by torch's own profiler."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, schedule

from ablations import data
from ablations.training import trainer
from benchmarks import reference_loop
from benchmarks.contest import Work, choose_images, composed, reference_settings
from benchmarks.environment import cores
from benchmarks.networks import build

SKIPPED, STEPS = 3, 4
"""Steps that are left out, since the first ones allocate and choose kernels, and steps that are profiled."""


def tables(work: Work, groups: int, width: float, top: int = 14) -> dict[str, list[dict[str, Any]]]:
    """The operators of a step of each, dearest first: `top` of them, then the rest in one row."""
    _, run = composed(work, groups, width)
    images = (SKIPPED + STEPS) * run.protocol.recipe.batch_size
    work = replace(work, train_images=images, epochs=1, groups=(groups,), widths=(width,))
    return {
        "reference": rows(_reference(work), work.device, top),
        "ours": rows(_ours(work), work.device, top),
    }


def rows(profiler: profile, device: str, top: int) -> list[dict[str, Any]]:
    """Operators by their own time, without what they call: ms of a step, share of all, calls in a step.

    On the CPU the time of the thread that calls; on a GPU that of its kernels.
    """
    own = "self_device_time_total" if device == "cuda" else "self_cpu_time_total"
    events = [e for e in profiler.key_averages() if not e.key.startswith("ProfilerStep")]
    found = sorted(((getattr(e, own), e.key, e.count) for e in events), reverse=True)
    total = sum(time for time, _, _ in found) or 1.0
    rest = (sum(time for time, _, _ in found[top:]), "all others", sum(count for _, _, count in found[top:]))
    return [
        {
            "operator": name,
            "ms a step": round(time / STEPS / 1000, 2),
            "share, %": round(100 * time / total, 1),
            "calls a step": round(count / STEPS, 1),
        }
        for time, name, count in [*found[:top], rest, (total, "all", sum(count for _, _, count in found))]
    ]


def _profiler(device: str) -> profile:
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device == "cuda" else [])
    return profile(activities=activities, schedule=schedule(wait=SKIPPED - 1, warmup=1, active=STEPS, repeat=1))


def _reference(work: Work) -> profile:
    """Steps of the reference loop with all cores, on batches of its own loader."""
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images.npz"
        choose_images(work, images)
        settings = reference_settings("reference", work, images, Path(folder))
        loader, _ = reference_loop.make_loaders(settings)
        before = torch.get_num_threads()
        torch.set_num_threads(settings.threads)
        network = build("shufflenet", settings.groups, settings.width, 10, settings.stem).to(work.device)
        with _profiler(work.device) as profiler:
            reference_loop.train(network, _Told(loader, profiler), settings)
        torch.set_num_threads(before)
    return profiler


class _Told:
    """A loader that tells the profiler that a step is over: when the next batch is asked for."""

    def __init__(self, loader: Any, profiler: profile) -> None:
        self.loader, self.profiler = loader, profiler

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Any:
        for batch in self.loader:
            yield batch
            self.profiler.step()


def _ours(work: Work) -> profile:
    """Steps of the trainer as a worker runs it: with one thread on the CPU."""
    config, run = composed(work, work.groups[0], work.widths[0])
    splits = data.load(data.prepare(config.data, run.protocol.data), run.protocol.data)
    before = torch.get_num_threads()
    torch.set_num_threads(1 if work.device == "cpu" else cores())
    with _profiler(work.device) as profiler:

        def told() -> bool:
            """The trainer asks whether to stop after each step."""
            profiler.step()
            return False

        trainer.train(run, splits, work.device, stop=told)
    torch.set_num_threads(before)
    return profiler
