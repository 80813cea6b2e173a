"""Leases: of all who want a run one gets it; the dead lose it, the slow do not, and who has lost it notices."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from ablations.store import lease
from tests.sweeps import environment

RUN = "a" * 16
HOLD = """
import sys, time
from pathlib import Path
from ablations.store import lease
mine = lease.take(Path(sys.argv[1]), "a" * 16)
print("held" if mine else "not", flush=True)
time.sleep(600)
"""


def another(results: Path) -> "subprocess.Popen[str]":
    """A process that holds the lease until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(results)], env=environment(), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout and process.stdout.readline() == "held\n"
    return process


def elsewhere(path: Path, age: float) -> None:
    """Make a lease look like one of another host that was touched `age` seconds ago."""
    them = json.loads(path.read_text())
    path.write_text(json.dumps({**them, "node": "far away", "host": "far", "pid": 1}))
    then = path.stat().st_mtime - age
    os.utime(path, (then, then))


def test_one_holder_at_a_time_and_free_again_afterwards(tmp_path):
    with lease.held(tmp_path, RUN) as mine:
        assert mine
        mine.check()
        assert lease.take(tmp_path, RUN) is None
        assert lease.holder(tmp_path, RUN) == f"{os.uname().nodename}, process {os.getpid()}"
        with lease.held(tmp_path, "b" * 16) as other:
            assert other, "another run is another lease"
    assert lease.holder(tmp_path, RUN) is None
    with lease.held(tmp_path, RUN) as again:
        assert again and again.path.name == "2"


def test_a_done_run_leaves_no_lease_behind(tmp_path):
    with lease.held(tmp_path, RUN):
        done = tmp_path / "runs" / RUN / "result.json"
        done.parent.mkdir(parents=True)
        done.touch()
    assert list((tmp_path / "leases").iterdir()) == []


def test_a_killed_holder_frees_its_run_at_once_and_a_suspended_one_keeps_it(tmp_path, monkeypatch):
    holder = another(tmp_path)
    try:
        holder.send_signal(signal.SIGSTOP)
        path = tmp_path / "leases" / RUN / "1"
        os.utime(path, (1000, 1000))  # not touched for years
        assert lease.take(tmp_path, RUN) is None and str(holder.pid) in (lease.holder(tmp_path, RUN) or "")
        holder.kill()
        # Not waited for, so it is a zombie: nobody must wait until its parent looks after it.
        deadline = time.monotonic() + 10
        while lease.holder(tmp_path, RUN) and time.monotonic() < deadline:
            time.sleep(0.01)
        mine = lease.take(tmp_path, RUN)
        assert mine and mine.path.name == "2"
        mine.release(done=False)
    finally:
        holder.kill()
        holder.wait()


def test_a_process_with_the_number_of_a_dead_one_is_not_it(tmp_path):
    mine = lease.take(tmp_path, RUN)
    them = json.loads(mine.path.read_text())
    mine.path.write_text(json.dumps({**them, "born": "1"}))
    taken = lease.take(tmp_path, RUN)
    assert taken
    with pytest.raises(lease.Lost):
        mine.check()
    mine.release(done=False)
    taken.check()
    taken.release(done=False)


def test_another_hosts_holder_loses_its_lease_when_silent_and_keeps_it_while_touching(tmp_path):
    mine = lease.take(tmp_path, RUN)
    mine.over.set()  # no heartbeat
    elsewhere(mine.path, age=lease.DEAD_SECONDS - 5)
    assert lease.take(tmp_path, RUN) is None and lease.holder(tmp_path, RUN) == "far, process 1"
    elsewhere(mine.path, age=lease.DEAD_SECONDS + 1)
    assert lease.holder(tmp_path, RUN) is None
    taken = lease.take(tmp_path, RUN)
    assert taken and taken.path.name == "2"
    with pytest.raises(lease.Lost):
        mine.check()
    taken.release(done=False)


def test_the_heartbeat_keeps_a_lease_fresh_for_other_hosts(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.02)
    mine = lease.take(tmp_path, RUN)
    elsewhere(mine.path, age=1000)
    deadline = time.monotonic() + 10
    while lease.holder(tmp_path, RUN) is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert lease.holder(tmp_path, RUN) == "far, process 1"
    mine.release(done=False)
    assert lease.holder(tmp_path, RUN) is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"node": 3}', "null"])
def test_a_lease_that_cannot_be_read_goes_by_its_age(tmp_path, content):
    path = tmp_path / "leases" / RUN / "1"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    assert lease.take(tmp_path, RUN) is None
    os.utime(path, (1000, 1000))
    assert lease.take(tmp_path, RUN)


def test_without_hard_links_too(tmp_path, monkeypatch):
    def refuses(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuses)
    mine = lease.take(tmp_path, RUN)
    assert mine and lease.take(tmp_path, RUN) is None
    mine.release(done=False)
    assert lease.take(tmp_path, RUN)


def test_a_folder_that_is_removed_while_it_is_made_is_made_again(tmp_path, monkeypatch):
    """`mkdir(exist_ok=True)` itself fails where what existed has gone when it looks: the last holder has finished."""
    make, times = Path.mkdir, []

    def removed_meanwhile(path, *arguments, **options):
        if path.name == RUN and len(times) < 3:
            times.append(path)
            raise FileExistsError(17, "File exists", str(path))
        make(path, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", removed_meanwhile)
    mine = lease.take(tmp_path, RUN)
    assert mine and len(times) == 3
    mine.release(done=False)


def compete(results: str, times: int, start: float) -> list[tuple[int, float, float]]:
    """Take and release the same lease until it was held so many times; (number, from, until) of each."""
    time.sleep(max(0.0, start - time.time()))
    held: list[tuple[int, float, float]] = []
    while len(held) < times:
        with lease.held(Path(results), RUN) as mine:
            if mine:
                since = time.monotonic()
                mine.check()
                time.sleep(0.001)
                held.append((int(mine.path.name), since, time.monotonic()))
    return held


def test_many_processes_never_hold_one_lease_at_the_same_time(tmp_path):
    context = multiprocessing.get_context("spawn")
    with context.Pool(4) as pool:
        start = time.time() + 2
        found = pool.starmap(compete, [(str(tmp_path), 20, start)] * 4)
    spans = sorted((since, until, number) for held in found for number, since, until in held)
    assert len(spans) == 80
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(spans))
    numbers = [number for _, _, number in spans]
    assert numbers == sorted(set(numbers))
