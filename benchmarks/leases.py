"""Leases under a crowd: `python -m benchmarks.leases` has 200 processes take 10,000 planned runs from one folder.

Each process is a task: it works the list off with the code that Slurm's tasks use (`tasks.work_off`, and `run_job` with
its lease), but a run takes no time, where training would be. Counted are runs done twice (must be 0) and processes that
got none (must be 0). The list is read once, before the processes are forked: reading it is timed by itself.

Exit code 0 when every run was done once and nobody got nothing.
"""

import argparse
import json
import multiprocessing
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from ablations.core.config import Config, GlyphsConfig, RecipeConfig, RuntimeConfig
from ablations.core.files import write_json
from ablations.core.job_state import JobState
from ablations.core.processes import cores
from ablations.execution import job_queue, job_runner
from ablations.execution.job import Job
from ablations.execution.job_queue import JobQueue
from ablations.execution.run_recorder import RunRecorder
from ablations.execution.worker_pool import Outcome
from ablations.sweep import cluster_task, work_list
from ablations.sweep.plan import Planned
from tests import make

GROUPS, WIDTHS = (1, 2, 3, 4, 8), (0.25, 0.5, 1.0, 1.5, 2.0)


class NoTime:
    """A pool whose runs take no time: whatever is given is executed at once."""

    def __init__(self) -> None:
        self.ended: list[Outcome] = []

    @property
    def busy(self) -> list[int]:
        """Numbers of the jobs whose outcome nobody has asked for."""
        return [outcome.number for outcome in self.ended]

    def free(self) -> bool:
        """One at a time."""
        return not self.ended

    def give(self, numbers: Sequence[int], jobs: Sequence[Job]) -> None:
        """Execute a job."""
        [number], [job] = numbers, jobs
        self.ended.append(Outcome(number, job_runner.run_job(job), ""))

    def poll(self, seconds: float) -> Iterable[Outcome]:
        """The outcome, if any; else wait."""
        if not self.ended:
            time.sleep(seconds)
        found, self.ended = self.ended, []
        return found

    def stop(self, seconds: float) -> Iterable[Outcome]:
        """Nothing is under way."""
        return []


def plan(runs: int, results: Path) -> list[Planned]:
    """So many planned runs: a grid of cells, and as many seeds as it takes."""
    config = Config(
        data=GlyphsConfig(name="glyphs", resolution=24, cache_resolution=24),
        recipe=RecipeConfig(),
        runtime=RuntimeConfig(device="cpu", results_dir=str(results), publish=False),
    )
    cells = [make.run(groups=groups, width=width) for groups in GROUPS for width in WIDTHS]
    grid = (replace(cell, seed=seed) for seed in range(runs) for cell in cells)
    return [Planned(run, config, ()) for run in islice(grid, runs)]


def no_training(records: Sequence[RunRecorder], outcomes: dict[RunRecorder, job_runner.Ended]) -> None:
    """In the place of `job_runner._execute`: results without a training, and a note of who wrote them."""
    for record in records:
        record.folder.mkdir(parents=True, exist_ok=True)
        with (record.folder / "by.txt").open("a") as file:
            file.write(f"{os.getpid()}\n")
        record.lease.check()
        result = {"schema": 1, "run_id": record.run_id, "status": "done", "error": 0.0, "seconds": {"total": 0.0}}
        write_json(record.folder / "result.json", result, flush=False)
        outcomes[record] = (JobState.DONE, None)


def work(listed: work_list.JobList, first: int, barrier: Any, report: Path) -> None:
    """One task: waits for all others to be there, works the list off, and writes what it did."""
    job_runner._execute = no_training
    counts: Counter[str] = Counter()
    jobs = cluster_task.in_turn(listed.jobs, first)
    queue = JobQueue(jobs, 0, lambda text: None, cluster_task.since(listed.written))
    barrier.wait()
    began, mine = time.time(), set()

    def ended(outcome: Outcome) -> None:
        counts[outcome.state] += 1
        if outcome.state == JobState.DONE:
            mine.add(jobs[outcome.number].run.run_id)

    job_queue.work_off(queue, NoTime(), lambda: False, ended, patience=60)
    record = {"began": began, "ended": time.time(), "done": len(mine), "lost": counts[JobState.HELD]}
    report.write_text(json.dumps({**record, "left": queue.left}))


def measure(runs: int, workers: int, folder: Path) -> dict[str, Any]:
    """What came of it: counts and rates."""
    began = time.perf_counter()
    path = work_list.write_job_list(plan(runs, folder / "results"), "cpu", RuntimeConfig(device="cpu"))
    wrote = time.perf_counter() - began
    listed = work_list.read_job_list(path)
    read = time.perf_counter() - began - wrote
    (folder / "results" / "runs").mkdir()
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(workers)
    reports = [folder / f"{number}.json" for number in range(workers)]
    crowd = [context.Process(target=work, args=(listed, k, barrier, reports[k])) for k in range(workers)]
    for process in crowd:
        process.start()
    for process in crowd:
        process.join()
    told = [json.loads(report.read_text()) for report in reports]
    by = [path.read_text().split() for path in (folder / "results").glob("runs/*/by.txt")]
    got = Counter(one for names in by for one in names)
    shares = sorted(got.values()) + [0] * (workers - len(got))
    seconds = max(one["ended"] for one in told) - min(one["began"] for one in told)
    taken = sum(len(names) for names in by)
    return {
        "workers": workers,
        "planned": runs,
        "done": len(by),
        "seconds": round(seconds, 2),
        "leases_per_second": round(taken / seconds, 1),
        "duplicates": taken - len(by),
        "starved": workers - len(got),
        "fewest": min(shares),
        "median": statistics.median(shares),
        "most": max(shares),
        "lost_races": sum(one["lost"] for one in told),
        "leases_left": sum(path.is_file() for path in (folder / "results" / "leases").rglob("*")),
        "list_written_seconds": round(wrote, 2),
        "list_read_seconds": round(read, 2),
    }


def main() -> int:
    """Measure, print, and write CSV where asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=200)
    parser.add_argument("--times", type=int, default=1, help="how often")
    parser.add_argument("--csv", type=Path, help="also write the numbers to this file")
    parser.add_argument("--folder", type=Path, help="where to make the folder: another file system, say")
    options = parser.parse_args()
    rows = []
    for _ in range(options.times):
        folder = Path(tempfile.mkdtemp(prefix="leases-", dir=options.folder))
        try:
            rows.append(measure(options.runs, options.workers, folder))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        print(", ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    print(f"{cores()} cores, Python {platform.python_version()}, {platform.system()}")
    if options.csv:
        import pandas as pd  # not before the crowd is forked

        pd.DataFrame(rows).to_csv(options.csv, index=False)
    good = all(row["done"] == options.runs and not row["duplicates"] + row["starved"] for row in rows)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
