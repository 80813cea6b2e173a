"""A session on a lent GPU whose machine reaches no network and takes 64 MiB a call: `python benchmarks/gpu_session.py`.

    pack   here: puts packages and CIFAR-10 into cache/gpu/, in parts that fit, and prints the calls to make
    check  there, in the first call: benchmarks/gpu_check.py
    study  there, in the next call: both studies, and a sample of the reference loop; called again, it goes on

Needs the standard library only. What comes back is in $OUT: check.tar.gz, and study.tar.gz. The latter is written each
minute: of a call that is ended before its time, what was done until then comes back.
"""

import argparse
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLACE = Path("cache/gpu")
"""Not in git, so a call brings of it what it names, and a machine keeps it from one call to the next."""

PACKAGES = (
    *("annotated-types", "antlr4-python3-runtime", "hydra-core", "omegaconf", "pydantic", "pydantic-core"),
    "typing-inspection",
)
"""What training needs and such machines lack: they have torch, Triton, numpy, pandas, scipy, matplotlib, rich ..."""

COMPILED, PYTHON = ("pydantic-core",), "3.12"
"""Packages that are made for a version of Python, and that of the machines."""

MARGIN = 1.5
"""MiB left free in each call."""

EVERY = 60.0
"""Seconds from one archive of an unfinished study to the next."""


def pack(data: Path, limit: float) -> list[str]:
    """Fill `PLACE`; returns the calls.

    Args:
        data: folder with `unpack.py`, which makes the official batches from the files in `cifar10/` beside it.
        limit: MiB that a call may bring, of which the checkout takes its part.
    """
    shutil.rmtree(ROOT / PLACE, ignore_errors=True)
    wheels = ROOT / PLACE / "wheels"
    locked = dict(re.findall(r"^([\w-]+)==(\S+)", (ROOT / "requirements.lock").read_text(), re.M))
    for name in PACKAGES:
        one = f"{name}=={locked[name]}"
        how = ["wheel", one, "--wheel-dir"]
        if name in COMPILED:
            platforms = (f"--platform=manylinux_2_{minor}_x86_64" for minor in (17, 28))
            how = ["download", one, "--only-binary=:all:", f"--python-version={PYTHON}", *platforms, "--dest"]
        subprocess.run([sys.executable, "-m", "pip", "-q", how[0], "--no-deps", *how[1:], wheels], check=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    taken = sum((ROOT / name).stat().st_size for name in listed if name and (ROOT / name).is_file())
    room = int((limit - MARGIN) * 2**20) - taken
    parts = in_parts([data / "unpack.py", *sorted((data / "cifar10").iterdir())], room, size_of(wheels))
    carried = [str(PLACE / f"part-{k + 1}-of-{len(parts)}") for k in range(len(parts))]
    for part, name in zip(parts, carried, strict=True):
        for file in part:
            target = ROOT / name / file.relative_to(data)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
    script = "python3 benchmarks/gpu_session.py"
    calls = [(f"{script} check --seconds 220", [str(PLACE / "wheels"), carried[0]], 280)]
    calls += [("true", [part], 20) for part in carried[1:-1]]
    calls += [(f"{script} study --seconds 480", carried[1:][-1:], 560)]
    return [f"run: command='{command}', carry={carry}, timeout_s={most}" for command, carry, most in calls]


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def in_parts(files: Sequence[Path], room: int, beside: int) -> list[list[Path]]:
    """Files in order, in parts of at most `room` bytes, one for each call; the first has `beside` bytes less."""
    parts: list[list[Path]] = [[]]
    left = room - beside
    for file in files:
        size = file.stat().st_size
        if size > room:
            raise SystemExit(f"{file.name} has {size} bytes, and a call has room for {room}.")
        if size > left:
            parts.append([])
            left = room
        left -= size
        parts[-1].append(file)
    return parts


def unpack() -> dict[str, str]:
    """Install the packages and unpack the data, where that is not done yet; returns the environment for both.

    Raises:
        SystemExit: a part has not been brought, or the packages are for another version of Python.
    """
    site, packed = ROOT / PLACE / "site", ROOT / PLACE / "packed"
    if not site.exists() and (ROOT / PLACE / "wheels").exists():
        wheels = sorted((ROOT / PLACE / "wheels").glob("*.whl"))
        if platform.python_version_tuple()[:2] != tuple(PYTHON.split(".")):
            raise SystemExit(
                f"The packages are for Python {PYTHON}, and this is {platform.python_version()}: change PYTHON in "
                "benchmarks/gpu_session.py, and pack again."
            )
        how = ["--no-index", "--no-deps", "--no-compile", "--target", site]
        subprocess.run([sys.executable, "-m", "pip", "-q", "install", *how, *wheels], check=True)
    here = {int(path.name.split("-")[1]): path for path in (ROOT / PLACE).glob("part-*-of-*")}
    count = max((int(path.name.split("-")[3]) for path in here.values()), default=0)
    if missing := [k for k in range(1, count + 1) if k not in here] or ([] if here else [1]):
        raise SystemExit(f"Part {missing[0]} of {count or '?'} of the data is not here: a call must name it in carry.")
    for path in here.values():
        shutil.copytree(path, packed, dirs_exist_ok=True)
    subprocess.run([sys.executable, packed / "unpack.py", "cifar10", ROOT / PLACE / "data"], check=True)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)])}


def check(seconds: float, tiny: bool) -> int:
    """Run the GPU check; returns its exit code."""
    folder = ROOT / PLACE / "check"
    words = [sys.executable, "benchmarks/gpu_check.py", "--out", folder, "--seconds", str(seconds)]
    code = subprocess.run([*words, *["--tiny"] * tiny], cwd=ROOT).returncode
    hand_back("check", [folder])
    return code


def study(seconds: float, reference: float, tiny: bool) -> int:
    """Train both studies within so many seconds, of which the last `reference` are for the reference loop's sample;
    returns the studies' exit code."""
    began, environment, place = time.monotonic(), unpack(), ROOT / PLACE
    options: dict[str, object] = {"data": place / "data", "cache": place / "cache", "out": place / "study"}
    options |= {"sample": 3, "reference-images": 20 if tiny else 12800}
    if tiny:
        options |= {"train-images": 40, "test-images": 20, "epochs": 1, "seeds": 1, "device": "cpu"}
    words = [sys.executable, "-m", "benchmarks.gpu_study"]
    words += [str(word) for name, value in options.items() for word in (f"--{name}", value)]
    words += ["--extra", "model.width=0.25", "recipe.batch_size=10"] if tiny else []
    limit = seconds - reference - (time.monotonic() - began)
    ours = ["--part", "ours", "--results", str(place / "results"), "--limit", str(limit)]
    code = wait_for(subprocess.Popen([*words, *ours], cwd=ROOT, env=environment), place)
    if reference:
        loop = subprocess.Popen([*words, "--part", "reference"], cwd=ROOT, env=environment, start_new_session=True)
        try:
            loop.wait(seconds - (time.monotonic() - began))
        except subprocess.TimeoutExpired:
            os.killpg(loop.pid, signal.SIGKILL)  # with what it has started
            print("The reference loop's sample did not end in time.")
        hand_back("study", [place / "study", place / "results"])
    return code


def wait_for(training: subprocess.Popen[bytes], place: Path) -> int:
    """Hand back what a study has, each minute and when it ends; returns its exit code."""
    while True:
        with suppress(subprocess.TimeoutExpired):
            training.wait(EVERY)
        with suppress(FileNotFoundError):  # a temporary file that was renamed meanwhile: the next time
            hand_back("study", [place / "study", place / "results"])
        if training.returncode is not None:
            return training.returncode


def hand_back(name: str, folders: Sequence[Path]) -> None:
    """Write $OUT/<name>.tar.gz of these folders, without checkpoints: few files come back, and small ones.

    Raises:
        FileNotFoundError: a file was renamed meanwhile. An older archive is left as it is.
    """
    out = Path(os.environ.get("OUT", ROOT / PLACE / "back"))
    out.mkdir(parents=True, exist_ok=True)
    whole, part = out / f"{name}.tar.gz", out / f"{name}.part"

    def kept(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        return None if "checkpoint" in Path(entry.name).name else entry

    with tarfile.open(part, "w:gz") as archive:
        for folder in folders:
            if folder.exists():
                archive.add(folder, folder.name, filter=kept)
    part.replace(whole)
    print(f"{whole.name}: {whole.stat().st_size / 2**20:.1f} MiB", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Do one step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("pack", "check", "study"))
    parser.add_argument("--data", type=Path, help="pack: folder with unpack.py and cifar10/")
    parser.add_argument("--limit", type=float, default=64, help="pack: MiB that a call may bring")
    parser.add_argument("--seconds", type=float, default=480, help="check, study: time that they may take")
    parser.add_argument(
        "--reference", type=float, default=90, help="study: seconds of them for the reference loop, or 0"
    )
    parser.add_argument("--tiny", action="store_true", help="check, study: on the CPU, to try the script")
    chosen = parser.parse_args(arguments)
    if chosen.step == "pack":
        print("\n".join(pack(chosen.data, chosen.limit)))
        return 0
    if chosen.step == "check":
        return check(chosen.seconds, chosen.tiny)
    return study(chosen.seconds, chosen.reference, chosen.tiny)


if __name__ == "__main__":
    sys.exit(main())
