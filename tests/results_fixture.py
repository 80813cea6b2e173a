"""Writes synthetic results folders in the form that the trainer writes, for tests of analysis/ and for looking at."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ablations.core.run_spec import Protocol, Run, to_json
from ablations.store import run_folder
from analysis import publish
from model.widths import resolve_stem
from tests import make

RECIPE = replace(make.RECIPE, epochs=8, batch_size=64, lr=0.2, warmup_epochs=0.5)
COUNTS = {"classes": 10, "train_images": 2000, "val_images": 500, "test_images": 1000}
DATA = replace(make.DATA, name="glyphs", digest="d" * 16, cache_resolution=24, **COUNTS)
PROTOCOL = Protocol(DATA, RECIPE, 24, "stride2", "float32")
METRICS = ",".join(run_folder.METRICS)


def protocol(epochs: int = 8, **data: Any) -> Protocol:
    return replace(PROTOCOL, data=replace(DATA, **data), recipe=replace(RECIPE, epochs=epochs))


def run(
    groups: int, width: float, shuffle: bool = True, seed: int = 0, under: Protocol = PROTOCOL, **variant: Any
) -> Run:
    stem = variant.pop("stem_channels", None) or resolve_stem(groups, width, under.stem, None)
    structure = variant.pop("structure", "shufflenet")
    return Run(make.canonical(make.shufflenet(groups, width, shuffle, stem, structure)), under, seed)


def grid(
    study: str, seeds: Iterable[int], under: Protocol = PROTOCOL, widths: Iterable[float] = (0.25, 0.5, 1.0)
) -> list[Run]:
    arms = (
        [(g, True) for g in (1, 2, 3, 4, 8)] if study == "groups" else [(g, s) for g in (3, 8) for s in (True, False)]
    )
    return [run(g, w, s, seed, under) for seed in seeds for w in widths for g, s in arms]


def write_plan(results: Path, study: str, runs: list[Run], preset: str = "quick", day: int = 1) -> Path:
    """The plan of runs of one protocol, written on a day of January 2026."""
    descriptions = [json.loads(json.dumps(to_json(one))) for one in runs]
    content = {
        "schema": 1,
        "study": study,
        "preset": preset,
        "protocol_id": runs[0].protocol_id,
        "protocol": descriptions[0]["protocol"],
        "runs": [{key: one[key] for key in ("run_id", "cell_id", "seed", "variant")} for one in descriptions],
        "command": f"python -m ablations -m ablation={study} preset={preset}",
        "written": f"2026-01-{day:02d}T12:00:00+0000",
    }
    return _write(results / "plans" / f"{study}-{runs[0].protocol_id}.json", content)


def begin(results: Path, one: Run, commit: str = "c" * 40, dirty: bool = False) -> Path:
    folder = results / "runs" / one.run_id
    _write(folder / "run.json", to_json(one))
    provenance = {
        "commit": commit,
        "dirty": dirty,
        "diff_sha256": None,
        "versions": {"python": "3.11.0", "torch": "2.15.0"},
        "device": "cpu: Test CPU",
        "device_type": "cpu",
        "threads": 1,
        "command": "python -m ablations",
        "host": "test",
        "started": "2026-01-01T12:00:00+0000",
        "preset": "quick",
    }
    _write(folder / "provenance.json", provenance)
    return folder


def write_done(results: Path, one: Run, error: float, correct: np.ndarray | None = None, **origin: Any) -> Path:
    """A finished run; `correct` (N,) bool gives the bits, which otherwise are the first images right."""
    folder = begin(results, one, **origin)
    images = one.protocol.data.test_images
    if correct is None:
        correct = np.arange(images) >= round(error * images)
    np.save(folder / "correct.npy", np.packbits(correct))
    (folder / "metrics.csv").write_text(_curve(one, error))
    result = {
        "schema": 1,
        "run_id": one.run_id,
        "status": "done",
        "error": error,
        "top5_error": error / 5,
        "loss": 2 * error,
        "test_images": images,
        "train_loss": error,
        "epochs": one.protocol.recipe.epochs,
        "steps": 248,
        "images_seen": 15872,
        "seconds": {"train": 12.0, "evaluate": 0.5, "total": 13.0},
        "images_per_second": 1300.0,
        "peak_memory_bytes": 500_000_000,
        "weights_sha256": "0" * 64,
    }
    return _write(folder / "result.json", result)


def write_failure(results: Path, one: Run, status: str = "failed", error: str = "out of memory") -> Path:
    folder = begin(results, one)
    failure = {"schema": 1, "run_id": one.run_id, "status": status, "error": error, "traceback": "", "when": ""}
    return _write(folder / "failure.json", failure)


def write_progress(results: Path, one: Run, updated: float) -> Path:
    folder = begin(results, one)
    return _write(folder / "progress.json", {"state": "running", "epoch": 3, "epochs": 8, "updated": updated})


def plausible(
    results: Path, seeds: int = 3, under: Protocol = PROTOCOL, gap: float = 1.0, preset: str = "quick", day: int = 1
) -> None:
    """Both studies done, with errors that look like a small data set's; the seeds of a cell share their images."""
    noise = np.random.default_rng(1)
    level = {0.25: 0.36, 0.5: 0.24, 1.0: 0.16}
    step = {1: 0.02, 2: 0.012, 3: 0.0, 4: -0.008, 8: -0.01}
    cost = {(3, 0.25): 0.015, (8, 0.25): 0.05, (3, 0.5): 0.022, (8, 0.5): 0.06, (3, 1.0): 0.012, (8, 1.0): 0.04}
    hard = noise.permutation(under.data.test_images) / under.data.test_images
    for one in {each.run_id: each for s in ("groups", "shuffle") for each in grid(s, range(seeds), under)}.values():
        groups, width, shuffle = (one.variant.axes[axis] for axis in ("groups", "width", "shuffle"))
        rate = level[width] + step[groups] + (0 if shuffle else gap * cost[groups, width])
        correct = hard + noise.normal(0, 0.05, len(hard)) >= rate + noise.normal(0, 0.012)
        write_done(results, one, float(1 - correct.mean()), correct)
    for study in ("groups", "shuffle"):
        write_plan(results, study, grid(study, range(seeds), under), preset, day)


def _curve(one: Run, error: float) -> str:
    """metrics.csv of a run whose training error falls to a little under its test error."""
    epochs = one.protocol.recipe.epochs
    rows = [METRICS]
    for epoch in range(1, epochs + 1):
        train = 0.8 * error + (0.9 - 0.8 * error) * np.exp(-4 * epoch / epochs) + 0.01 * np.sin(7 * epoch + one.seed)
        test = f"{2 * error},{error},{error / 5}" if epoch == epochs else ",,"
        rows.append(f"{epoch},{31 * epoch},{0.2 * (1 - epoch / epochs)},{2 * train},{train},{test},1.5,1300.0")
    return "\n".join(rows) + "\n"


def _write(path: Path, content: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")
    return path


def undrawn(figures: Iterable[str], content: bytes = b"drawn") -> dict[str, bytes]:
    """Stands in for publish._draw where drawing itself is not tested."""
    return {f"{name}{kind}": content for name in figures for kind in publish.KINDS}


def cheap_costs(subjects: list[Any]) -> list[dict[str, int] | None]:
    """Stands in for analysis.runs.macs._measure, which needs torch: numbers that differ where subjects do."""
    given = [(subject.network, subject) for subject in subjects]
    macs = [int(1_000_000 * network["width"] * subject.resolution) for network, subject in given]
    params = [int(100_000 * network["width"]) + subject.classes for network, subject in given]
    return [
        {"macs": mac + network["groups"], "conv_macs": mac, "params": some}
        for mac, some, (network, _) in zip(macs, params, given, strict=True)
    ]
