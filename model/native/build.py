"""Compile the kernels: `python -m model.native.build`. Without a compiler it says so; training then runs on PyTorch.

Only the kernels that this processor runs; with --all (or KERNELS=all), also those for others of its family, which
other nodes of a cluster may have.
"""

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

from model.native.library import HERE, KINDS, machine, path

FLAGS = ("-std=c++17", "-O3", "-fPIC", "-shared", "-fvisibility=hidden")


CPUINFO = Path("/proc/cpuinfo")

FLAGS_OF = {"avx512": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}, "avx2": {"avx2", "fma", "bmi2"}}
"""By kind: what Linux must list among a processor's flags."""


def wanted(kinds: dict[str, str], everything: bool) -> dict[str, str]:
    """The best kind that this processor runs; all where `everything`, or where Linux does not list its flags."""
    listed = re.search(r"^flags\s*:(.*)$", CPUINFO.read_text(), re.M) if CPUINFO.exists() else None
    if everything or not listed:
        return kinds
    has = set(listed[1].split())
    return dict([(kind, flag) for kind, flag in kinds.items() if FLAGS_OF.get(kind, set()) <= has][:1])


def compiler() -> str | None:
    """The C++ compiler: $CXX, or the first found."""
    names = (os.environ.get("CXX"), "c++", "g++", "clang++")
    return next((found for name in names if name and (found := shutil.which(name))), None)


def build(kind: str, flag: str, cxx: str) -> str:
    """Compile one kind and replace older files atomically. Returns the compiler's errors, or ``."""
    target = path(kind)
    if target.exists():
        return ""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(f".{os.getpid()}.part")
    command = [cxx, *FLAGS, flag, "-o", os.fspath(part), os.fspath(HERE / "network.cpp")]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        part.unlink(missing_ok=True)
        return f"{kind}: {' '.join(command)}\n{done.stderr.strip()}"
    part.replace(target)
    for old in target.parent.glob(f"{kind}-*.so"):
        if old != target:
            old.unlink(missing_ok=True)
    return ""


def main() -> int:
    """Build the kinds that are wanted; returns exit code 0 if at least one can be used."""
    everything = "--all" in sys.argv[1:] or os.environ.get("KERNELS") == "all"
    kinds, cxx = wanted(KINDS.get(machine(), {}), everything), compiler()
    if not kinds or not cxx:
        what = (
            f"there are none for this {machine()}" if not kinds else "there is no C++ compiler (g++, clang++ or $CXX)"
        )
        print(
            f"CPU kernels are not built: {what}. Training runs on PyTorch alone, which takes 2.6 to 7.6 times as long.",
            file=sys.stderr,
        )
        return 1
    missing = [kind for kind in kinds if not path(kind).exists()]
    if missing:
        print(f"Compiling the CPU kernels ({', '.join(missing)}): 1 to 2 minutes.", flush=True)
    with ThreadPoolExecutor() as pool:
        failures = [text for text in pool.map(build, kinds, kinds.values(), repeat(cxx)) if text]
    print("\n".join(failures), file=sys.stderr, end="\n" if failures else "")
    return 0 if len(failures) < len(kinds) else 1


if __name__ == "__main__":
    sys.exit(main())
