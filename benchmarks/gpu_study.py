"""Both studies on one GPU against the clock: `python -m benchmarks.gpu_study --data FOLDER --out FOLDER`.

Ours is the command that a user types, 21 cells x 3 seeds x 30 epochs of CIFAR-10, timed from start to end. The
reference loop would take hours for that: it trains a sample of cells on all images for a few epochs in the same call,
and what it would take for the study follows from the rate of its last epoch, when its workers are up and its kernels
chosen.
Where a machine gives ten minutes a call: `--part ours` and `--part reference`, into the same folder.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ablations.core.files import read_json
from ablations.core.paths import ROOT
from benchmarks import environment, standings
from benchmarks.contest import GROUPS, WIDTHS, Work, choose_images, take_turn, wanted_surroundings

MINUTES, TIMES = 10.0, 10.0
"""What issue 5 asks for: the study in so many minutes, and so many times the reference loop's rate."""

CELLS = [(g, w) for w in WIDTHS for g in GROUPS] + [(g, w) for w in WIDTHS for g in (3, 8)]
"""Groups and width of the study's 21 cells: those of Table 2, and the six without shuffle of Table 3."""


def train_ours(work: Work, seeds: int, results: Path, log: Path, limit: float | None = None) -> dict[str, Any]:
    """Both studies, as one command: seconds from start to end, and the runs that are done.

    Args:
        results: runs that are there already are not trained again.
        log: file for what the command says.
        limit: after so many seconds the command is asked to stop; it saves its runs.
    """
    words = [sys.executable, "-m", "ablations", "-m", "ablation=groups,shuffle", f"seed=range({seeds})"]
    words += [*work.overrides(), f"runtime.results_dir={results}"]
    stopped = False
    with log.open("w") as file:
        began = time.perf_counter()
        process = subprocess.Popen(words, cwd=ROOT, env=wanted_surroundings(), stdout=file, stderr=subprocess.STDOUT)
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            stopped = True
            process.terminate()
            process.wait()
        seconds = time.perf_counter() - began
    found = [json.loads(path.read_text()) for path in results.glob("runs/*/result.json")]
    if len(found) < len(CELLS) * seeds and process.returncode and not stopped:
        raise SystemExit(f"{len(found)} of {len(CELLS) * seeds} runs were done:\n{log.read_text()[-3000:]}")
    images = sum(one["images_seen"] for one in found)
    return {"seconds": seconds, "runs": len(found), "images": images, "epochs": work.epochs, "seeds": seeds}


def train_reference(work: Work) -> dict[str, Any]:
    """The sample, one command; images/s of each cell's last epoch."""
    with tempfile.TemporaryDirectory() as temporary:
        images, out = Path(temporary) / "images.npz", Path(temporary) / "out"
        choose_images(work, images)
        turn = take_turn("reference", work, 0, images, out)
        records = [json.loads(path.read_text()) for path in out.glob("runs/*/result.json")]
    rates = [
        {
            "groups": one["groups"],
            "width": one["width"],
            "images_per_second": one["images_per_epoch"] / one["epoch_seconds"][-1],
        }
        for one in records
    ]
    return {"seconds": turn.seconds, "rates": rates}


def reference_seconds(rates: list[dict[str, Any]], images: int, seeds: int) -> float:
    """Seconds of the reference loop's training steps for the study, by the rates of sampled cells nearest in groups.

    Start-up, evaluation and saving are not in it, which favours the reference.

    Args:
        images: seen in a run, all epochs together.
    """
    total = 0.0
    for groups, width in CELLS:
        near = [one for one in rates if one["width"] == width]
        if not near:
            raise SystemExit(f"No cell of width {width:g} is in the reference loop's sample.")
        nearest = min(near, key=lambda one: abs(one["groups"] - groups))
        total += seeds * images / nearest["images_per_second"]
    return total


def summary(ours: dict[str, Any] | None, reference: dict[str, Any] | None) -> list[dict[str, Any]]:
    """What was asked for beside what was measured; what is not measured yet is left out."""
    rows: list[dict[str, Any]] = []
    if ours:
        minutes, planned = ours["seconds"] / 60, len(CELLS) * ours["seeds"]
        whole = ours["runs"] == planned
        what = f"ours, {ours['runs']} of {planned} runs x {ours['epochs']} epochs, start to end"
        rows.append(_row(what, f"{minutes:.1f} min", f"at most {MINUTES:g} min", minutes <= MINUTES if whole else None))
        rows.append(_row("ours, runs that are done", f"{ours['images'] / ours['seconds']:.0f} images/s", "", None))
    for one in sorted(reference["rates"], key=lambda one: (one["width"], one["groups"])) if reference else []:
        what = f"reference loop, g{one['groups']} {one['width']:g}x, training steps"
        rows.append(_row(what, f"{one['images_per_second']:.0f} images/s", "", None))
    if ours and reference and whole:
        would = reference_seconds(reference["rates"], ours["images"] // ours["runs"], ours["seeds"])
        rows.append(_row("reference loop, the whole study, by these rates", f"{would / 60:.1f} min", "", None))
        ratio = would / ours["seconds"]
        rows.append(_row("ours is faster by", f"{ratio:.1f}", f"at least {TIMES:g}", ratio >= TIMES))
    return rows


def _row(what: str, measured: str, asked: str, holds: bool | None) -> dict[str, Any]:
    return {"what": what, "measured": measured, "asked for": asked, "": {None: "", True: "yes", False: "no"}[holds]}


def main(arguments: list[str] | None = None) -> None:
    """Train what was asked for; print and write what is known."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_study", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds cifar-10-batches-py")
    parser.add_argument("--cache", type=Path, default=Path("cache"), help="the harness's prepared images")
    parser.add_argument("--out", type=Path, required=True, help="folder for README.md, ours.json and reference.json")
    parser.add_argument("--results", type=Path, help="folder that keeps the runs; given again, it goes on with them")
    parser.add_argument("--limit", type=float, help="seconds after which ours is asked to stop and save its runs")
    parser.add_argument("--part", choices=("both", "ours", "reference"), default="both")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--reference-epochs", type=int, default=2)
    parser.add_argument("--sample", default="1,3,8", help="groups of the sampled cells, at each width")
    parser.add_argument("--train-images", type=int, default=50000)
    parser.add_argument("--reference-images", type=int, help="training images of the sample; its rate counts")
    parser.add_argument("--test-images", type=int, default=10000)
    parser.add_argument("--extra", nargs="*", default=[], help="overrides besides, for everyone")
    chosen = parser.parse_args(arguments)
    amounts = {name: getattr(chosen, name) for name in ("train_images", "test_images", "device")}
    common = {**amounts, "extra": tuple(chosen.extra)}
    chosen.out.mkdir(parents=True, exist_ok=True)
    if chosen.part in ("both", "reference"):
        sample = tuple(map(int, chosen.sample.split(",")))
        few = {**common, "train_images": chosen.reference_images or chosen.train_images}
        work = Work(chosen.data, chosen.cache, epochs=chosen.reference_epochs, groups=sample, **few)
        (chosen.out / "reference.json").write_text(json.dumps(train_reference(work), indent=1) + "\n")
    if chosen.part in ("both", "ours"):
        work = Work(chosen.data, chosen.cache, epochs=chosen.epochs, **common)
        choose_images(work, chosen.out / ".images.npz")  # prepares the cache: nobody waits for that twice
        (chosen.out / ".images.npz").unlink()
        with tempfile.TemporaryDirectory() as temporary:
            results = chosen.results or Path(temporary) / "results"
            before = read_json(chosen.out / "ours.json") if chosen.results and chosen.results.exists() else None
            results.mkdir(parents=True, exist_ok=True)
            found = train_ours(work, chosen.seeds, results.resolve(), chosen.out / "said.txt", chosen.limit)
        found["seconds"] += before["seconds"] if before else 0.0
        (chosen.out / "ours.json").write_text(json.dumps(found, indent=1) + "\n")
    ours, reference = (read_json(chosen.out / f"{name}.json") for name in ("ours", "reference"))
    text = (
        f"# The study on one GPU\n\n{environment.line(chosen.device)}  \n"
        f"`{environment.command('benchmarks.gpu_study')}`\n\n"
        f"{standings.markdown(summary(ours, reference))}\n"
    )
    (chosen.out / "README.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
