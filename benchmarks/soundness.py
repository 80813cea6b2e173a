"""Whether the default preset is sound: `python -m benchmarks.soundness FOLDER` checks what its protocol promises.

FOLDER has results, or is a packed study. With --run both studies are trained there first, as a user would, and timed:
at the preset's own seeds, then at three. Criteria: results/reference/quick-cpu/PROTOCOL.md.
"""

import argparse
import itertools
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ablations.core.paths import ROOT
from analysis import paper
from analysis.reference.pack import lay_out
from analysis.reference.reader import from_files
from analysis.runs import frame
from analysis.runs import study as studies
from analysis.stats.sample import sample

SEEDS = 3
SPREAD = 1.0
"""Most standard deviation between seeds, in points, pooled over the cells of a width."""

ERRORS = (3.0, 40.0)
"""Least and most error of a cell, in percent: below, arms can hardly differ; above, networks are hardly trained."""

MINUTES = {"groups": 6.0, "shuffle": 3.0}
"""Most minutes of `make ablation-groups` and of `make ablation-shuffle` after it, on two idle cores."""


@dataclass(frozen=True)
class Check:
    """A criterion with what was found; `holds` is None where it was not measured."""

    criterion: str
    found: str
    holds: bool | None


def checks(results: Path) -> tuple[pd.DataFrame, list[Check]]:
    """The cells (one row each, errors in percent) and the criteria that the runs of a results folder can answer.

    Raises:
        ValueError: the folder has no finished run, or runs of several protocols.
    """
    runs = frame.runs(results)
    done = runs[runs["state"] == "done"]
    if done["protocol_id"].nunique() != 1:
        raise ValueError(f"{results} has finished runs of {done['protocol_id'].nunique()} protocols; one is needed.")
    keys = ["width", "groups", "shuffle"]
    curves = [pd.read_csv(results / "runs" / run_id / "metrics.csv")["train_loss"] for run_id in done["run_id"]]
    errors = done.assign(error=100 * done["error"], falls=[falls(losses.tolist()) for losses in curves])
    cells = errors.groupby(keys).agg(
        seeds=("seed", "nunique"), error=("error", "mean"), sd=("error", "std"), falls=("falls", "all")
    )
    full = int((cells["seeds"] >= SEEDS).sum())
    rising = int((~errors["falls"]).sum())
    least, most = cells["error"].min(), cells["error"].max()
    wanted = len(paper.WIDTHS) * (len(paper.GROUPS) + 2)  # Table 2, and Table 3 without the shuffle: g=3 and g=8
    found = [
        Check(f"{wanted} cells with {SEEDS} seeds", f"{full} cells", full >= wanted),
        Check(
            "training loss falls in every epoch of every run", f"rises in {rising} of {len(errors)} runs", not rising
        ),
        Check(
            f"error of every cell {ERRORS[0]:g} to {ERRORS[1]:g} %",
            f"{least:.1f} to {most:.1f} %",
            bool(ERRORS[0] <= least and most <= ERRORS[1]),
        ),
    ]
    for (_, width), spread in sorted(sample(done, results, studies.study("groups")).spreads.items()):
        words = f"{spread.sd:.2f} ({spread.df} degrees of freedom)" if spread.df else "one seed"
        holds = bool(spread.sd <= SPREAD) if spread.df else None
        found.append(Check(f"spread between seeds at {width:g}x at most {SPREAD:g} point", words, holds))
    return cells.reset_index(), found


def falls(losses: list[float]) -> bool:
    """Whether each is less than the one before; NaN is not."""
    return all(after < before for before, after in itertools.pairwise(losses))


def train(results: Path, overrides: list[str]) -> list[Check]:
    """Both studies at the preset's seeds, timed, and then the seeds that are missing."""
    found = []
    for study, most in MINUTES.items():
        began = time.perf_counter()
        _sweep(results, f"ablation={study}", *overrides)
        minutes = (time.perf_counter() - began) / 60
        found.append(Check(f"{study} within {most:g} minutes", f"{minutes:.1f} minutes", minutes <= most))
    _sweep(results, "ablation=groups,shuffle", f"seed=range({SEEDS})", *overrides)
    return found


def _sweep(results: Path, *overrides: str) -> None:
    command = [sys.executable, "-m", "ablations", "-m", "preset=quick", f"runtime.results_dir={results}", *overrides]
    subprocess.run(command, cwd=ROOT, check=True)


def main() -> None:
    """Print the table of cells, the criteria and the verdict; exit code 1 unless all were measured and hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="results, or a packed study")
    parser.add_argument("--run", action="store_true", help="train both studies there first, and time them")
    arguments, overrides = parser.parse_known_args()
    folder: Path = arguments.folder.resolve()
    timed = [Check(f"{study} within {most:g} minutes", "not measured", None) for study, most in MINUTES.items()]
    if arguments.run:
        timed = train(folder, overrides)
    with tempfile.TemporaryDirectory() as place:
        if (folder / "study.json").is_file():
            lay_out(from_files(folder), Path(place))
            folder = Path(place)
        cells, found = checks(folder)
    found += timed
    words = {True: "holds", False: "FAILS", None: "open"}
    print(cells.to_string(index=False, float_format=lambda value: f"{value:.2f}"))
    print()
    for check in found:
        print(f"{words[check.holds]:6} {check.criterion}: {check.found}")
    wrong = [check for check in found if check.holds is False]
    left = [check for check in found if check.holds is None]
    verdict = f"not sound: {len(wrong)} criteria fail" if wrong else "sound"
    print(f"\n{verdict}{f', {len(left)} were not measured' if left else ''}.")
    raise SystemExit(1 if wrong or left else 0)


if __name__ == "__main__":
    main()
