"""Compile the kernels: `python -m model.native.build`. Without a compiler it says so; training then runs on PyTorch."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat

from model.native.library import HERE, KINDS, machine, path

FLAGS = ("-std=c++17", "-O3", "-fPIC", "-shared", "-fvisibility=hidden")


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
    """Build every kind for this machine; returns exit code 0 if at least one can be used."""
    kinds, cxx = KINDS.get(machine(), {}), compiler()
    if not kinds or not cxx:
        what = f"there are none for {machine()}" if not kinds else "there is no C++ compiler (g++, clang++ or $CXX)"
        print(
            f"CPU kernels are not built: {what}. Training runs on PyTorch alone, 2 to 5 times slower.", file=sys.stderr
        )
        return 1
    with ThreadPoolExecutor() as pool:
        failures = [text for text in pool.map(build, kinds, kinds.values(), repeat(cxx)) if text]
    print("\n".join(failures), file=sys.stderr, end="\n" if failures else "")
    return 0 if len(failures) < len(kinds) else 1


if __name__ == "__main__":
    sys.exit(main())
