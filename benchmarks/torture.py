"""Sweeps under attack: `python -m benchmarks.torture` disturbs a sweep again and again and counts what goes wrong.

Each round starts the sweep with two workers, does one fault to it at a random time, and starts it again, without a
pause, in the next round; when all its runs are done they are compared, bit for bit, with those of an undisturbed sweep,
and the next sweep starts from nothing. Faults: SIGKILL to the parent or to a worker; SIGTERM or SIGINT, once or twice;
a worker suspended; the disk (a small tmpfs where it can be mounted) filled; a file of a run cut short or with a byte
changed, while the sweep runs or after; a second sweep at the same time. Runs that were trained though they were done
and whole count as trained twice.

Exit code 0 when nothing was lost, trained twice, different or left over.
"""

import argparse
import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ablations.core.paths import ROOT

SWEEP = (
    *("preset=smoke", "model.groups=1,2,3", "model.width=0.25", "seed=0,1", "recipe.epochs=3", "data.train_images=512"),
    *("data.test_images=64", "runtime.workers=2", "runtime.checkpoint_every=0.2", "runtime.run_timeout=4"),
    *("runtime.progress=plain", "runtime.publish=false", "runtime.retries=3"),
)
FAULTS = (
    *("kill parent", "kill worker", "SIGTERM", "SIGINT", "SIGTERM twice", "suspend worker"),
    *("fill disk", "cut a file", "change a byte", "two sweeps"),
)
TIMES = ("seconds", "images_per_second")
DISK = "24m"


class Arena:
    """A results folder on a small disk of its own, and the sweeps that run in it."""

    def __init__(self, disk: Path, cache: Path, small: bool) -> None:
        self.disk, self.cache, self.small = disk, cache, small
        self.results = disk / "results"

    def start(self) -> "subprocess.Popen[str]":
        """Start the sweep, as the head of a group of processes."""
        places = (f"runtime.results_dir={self.results}", f"data.cache_dir={self.cache}")
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TORTURE": str(self.disk)}
        return subprocess.Popen(
            [sys.executable, "-m", "ablations", "-m", *SWEEP, *places],
            cwd=self.disk,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def processes(self) -> list[int]:
        """Every living process that a sweep in here has started, whoever its parent is by now."""
        mark, found = f"TORTURE={self.disk}".encode(), []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with suppress(OSError):
                    mine = mark in (entry / "environ").read_bytes().split(b"\0")
                    if mine and (entry / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX":
                        found.append(int(entry.name))
        return found

    def workers(self) -> list[int]:
        """Those of them that train."""
        found = []
        for path in self.results.glob("runs/*/progress.json"):
            with suppress(OSError, ValueError, KeyError):
                found.append(json.loads(path.read_text())["pid"])
        return [pid for pid in self.processes() if pid in found]

    def done(self) -> set[str]:
        """Runs that have a result, whole or not."""
        return {path.parent.name for path in self.results.glob("runs/*/result.json") if "." not in path.parent.name}

    def ends(self) -> Counter[str]:
        """How often each run was trained to its end, by its logs."""
        found: Counter[str] = Counter()
        for path in self.results.glob("runs/*/log.txt"):
            text = path.read_text(errors="replace")
            found[path.parent.name.partition(".")[0]] += text.count(" done: error ")
        return found


def outcome(results: Path) -> dict[str, Any]:
    """All that must be the same however a sweep was disturbed, by run."""
    found = {}
    for path in results.glob("runs/*/result.json"):
        if "." in path.parent.name:
            continue
        result = json.loads(path.read_text())
        numbers = [result[key] for key in ("error", "top5_error", "loss", "train_loss", "weights_sha256", "steps")]
        with (path.parent / "metrics.csv").open() as file:
            rows = [[row[key] for key in row if key not in TIMES] for row in csv.DictReader(file)]
        found[path.parent.name] = (numbers, rows, (path.parent / "correct.npy").read_bytes())
    return found


def disturb(arena: Arena, fault: str, sweep: "subprocess.Popen[str]", dice: random.Random) -> str | None:
    """Do one fault to a running sweep; returns the run whose stored file was damaged, if it was one that is done."""
    workers = arena.workers()
    if fault == "kill parent":
        sweep.kill()
    elif fault in ("kill worker", "suspend worker") and workers:
        with suppress(ProcessLookupError):
            os.kill(dice.choice(workers), signal.SIGKILL if fault == "kill worker" else signal.SIGSTOP)
    elif fault.startswith("SIG"):
        sweep.send_signal(signal.SIGINT if "INT" in fault else signal.SIGTERM)
        if "twice" in fault:
            time.sleep(dice.uniform(0, 0.3))
            sweep.send_signal(signal.SIGTERM)
    elif fault == "fill disk" and arena.small:
        with suppress(OSError), (arena.disk / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(1 << 12))
    elif fault in ("cut a file", "change a byte"):
        return damage(arena, fault == "cut a file", dice)
    return None


def damage(arena: Arena, cut: bool, dice: random.Random) -> str | None:
    """Cut a random file of a random run short, or change one of its bytes in place."""
    files = [path for path in arena.results.glob("runs/*/*") if path.is_file() and "." not in path.parent.name]
    stored = [path for path in files if path.parent.name in arena.done()]
    files = stored if stored and dice.random() < 0.7 else files
    with suppress(OSError, IndexError):
        path = dice.choice(sorted(files))
        size = path.stat().st_size
        with path.open("r+b") as file:
            if cut:
                file.truncate(dice.randrange(size))
            else:
                file.seek(dice.randrange(size))
                byte = file.read(1)
                file.seek(-1, os.SEEK_CUR)
                file.write(bytes([byte[0] ^ dice.randrange(1, 256)]))
        return path.parent.name
    return None


def settle(arena: Arena, sweep: "subprocess.Popen[str]", tally: Counter[str]) -> str:
    """Wait until a sweep has left; count what it leaves behind, and what it should not have said."""
    try:
        said, _ = sweep.communicate(timeout=180)
    except subprocess.TimeoutExpired:
        tally["sweeps that hung"] += 1
        with suppress(ProcessLookupError):
            os.killpg(sweep.pid, signal.SIGKILL)
        said, _ = sweep.communicate()
    deadline = time.monotonic() + 5
    while arena.processes() and time.monotonic() < deadline:
        time.sleep(0.05)
    left = arena.processes()
    tally["processes left over"] += len(left)
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if "Traceback" in said:
        tally["tracebacks shown"] += 1
        print(said, flush=True)
    return said


def one_round(arena: Arena, fault: str, dice: random.Random, tally: Counter[str]) -> bool:
    """Start the sweep, disturb it, let it end. Returns whether it ended with code 0."""
    before = {run_id: count for run_id, count in arena.ends().items() if run_id in arena.done()}
    sweep = arena.start()
    second = None
    if fault == "two sweeps":
        time.sleep(dice.uniform(0, 1.5))
        second = arena.start()
    moment = time.monotonic() + dice.uniform(0.5, 5.0)
    if fault in ("cut a file", "change a byte") and dice.random() < 0.7:
        moment += 60  # once the sweep has left: most files that are damaged are those of finished runs
    while time.monotonic() < moment and sweep.poll() is None:
        time.sleep(0.02)
    struck = sweep.poll() is None or fault in ("cut a file", "change a byte")
    damaged = disturb(arena, fault, sweep, dice) if struck and not second else None
    tally[f"fault: {fault}"] += bool(struck or second)
    said = sweep.communicate(timeout=180)[0] if second else ""
    said += settle(arena, second or sweep, tally)
    with suppress(OSError):
        (arena.disk / "filler").unlink()
    lost = set(before) - arena.done()
    tally["runs lost"] += len(lost - {damaged})
    again = {run_id for run_id, count in before.items() if arena.ends()[run_id] > count}
    again |= {run_id for run_id, count in arena.ends().items() if second and count - before.get(run_id, 0) > 1}
    tally["runs trained twice"] += len(again - {damaged, *was_damaged(said)})
    return sweep.returncode == 0


def was_damaged(said: str) -> set[str]:
    """Runs that the sweep itself said it sets aside."""
    return {line.split("runs/")[1][:16] for line in said.splitlines() if "runs/" in line and "set aside" in line}


def torture(rounds: int, seed: int, arena: Arena, expected: dict[str, Any]) -> Counter[str]:
    """The tally of so many rounds."""
    dice, tally = random.Random(seed), Counter[str]()
    plan = [FAULTS[k % len(FAULTS)] for k in range(rounds)]
    dice.shuffle(plan)
    for number, fault in enumerate(plan, 1):
        whole = one_round(arena, fault, dice, tally)
        tally["rounds"] += 1
        if not whole:
            continue
        settle(arena, arena.start(), tally)  # repairs what was damaged behind the last sweep's back
        compare(arena, expected, tally)
        tally["damaged folders set aside"] += len(list(arena.results.glob("runs/*.damaged-*")))
        shutil.rmtree(arena.results)
        print(f"round {number} of {rounds} ({fault}): a sweep is whole and compared", flush=True)
    while settle(arena, sweep := arena.start(), tally) and sweep.returncode:
        tally["sweeps to finish at the end"] += 1
        if tally["sweeps to finish at the end"] > 5:
            break
    compare(arena, expected, tally)
    return tally


def compare(arena: Arena, expected: dict[str, Any], tally: Counter[str]) -> None:
    """Count runs that are not there and runs that are not bit for bit those of the undisturbed sweep."""
    found = outcome(arena.results)
    tally["sweeps compared"] += 1
    tally["runs lost"] += len(expected.keys() - found.keys())
    tally["runs compared"] += len(found)
    different = [run_id for run_id in found if found[run_id] != expected.get(run_id)]
    tally["mismatches"] += len(different)
    for run_id in different:
        print(f"MISMATCH {run_id}\n  {found[run_id][:2]}\n  {expected.get(run_id)}", flush=True)


@contextmanager
def small_disk(folder: Path) -> Iterator[tuple[Path, bool]]:
    """A tmpfs where one can be mounted (root), else a plain folder, whose disk is then not filled."""
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(disk)]
    small = shutil.which("mount") is not None and subprocess.run(mount, capture_output=True).returncode == 0
    try:
        yield disk, small
    finally:
        if small:
            subprocess.run(["umount", "-l", str(disk)], check=True)


def main() -> int:
    """Run the rounds and print the tally."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name, small_disk(Path(name)) as (disk, small):
        arena = Arena(disk, Path(name) / "cache", small)
        sweep = arena.start()
        said, _ = sweep.communicate()
        if sweep.returncode:
            print(said)
            return 2
        expected = outcome(arena.results)
        shutil.rmtree(arena.results)
        tally = torture(arguments.rounds, arguments.seed, arena, expected)
    bad = [
        "runs lost",
        "runs trained twice",
        "mismatches",
        "processes left over",
        "sweeps that hung",
        "tracebacks shown",
    ]
    on = f"a tmpfs of {DISK}" if small else "the disk as it is, which was not filled"
    print(f"\n{time.monotonic() - began:.0f} s, seed {arguments.seed}, on {on}")
    faults = sorted(key for key in tally if key.startswith("fault"))
    for what in ["rounds", *faults, "sweeps compared", "runs compared", "damaged folders set aside", *bad]:
        print(f"{what:28s} {tally[what]:5d}")
    return 1 if any(tally[what] for what in bad) else 0


if __name__ == "__main__":
    sys.exit(main())
