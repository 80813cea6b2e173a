"""`python3 scripts/install.py VENV LOCK`: makes an environment and installs a lock file into it; make calls this.

Only the standard library is there yet. uv installs, since pip takes three times as long; pip does where uv cannot.
Settings: TORCH=cpu (PyTorch's wheels for the CPU alone), KERNELS=all (kernels for every kind of processor).
"""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

GPU = re.compile(r"(nvidia|cuda|triton)\b")
"""Requirements that the CPU build of PyTorch does not have."""

COST = {
    "": "PyTorch with its CUDA libraries and {} packages: about 1 minute near a package index, 6 GB",
    "cpu": "PyTorch for the CPU and {} packages: about 1 minute near a package index, 2 GB",
}
"""Of requirements.lock, by TORCH."""

LEAVE_OUT = "Leave TORCH=cpu out: the usual build of PyTorch trains on the CPU, too."

OTHER = "{} packages for tests, notebooks, loggers and docs: about half a minute, 1 GB"


def main(venv: Path, lock: Path, torch: str) -> int:
    """Install; returns the installer's exit code."""
    began, python = time.monotonic(), venv / "bin" / "python"
    wanted = [line for line in lock.read_text().splitlines() if line and not (torch == "cpu" and GPU.match(line))]
    main_lock = lock.name == "requirements.lock"
    cost = COST.get(torch, OTHER) if main_lock else OTHER
    say(f"Installing {cost.format(len(wanted))}, in {venv}.")
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", os.fspath(venv)], check=True)
    kernels = subprocess.Popen([python, "-m", "model.native.build"], cwd=ROOT) if main_lock else None
    requirements = venv / lock.name
    requirements.write_text("\n".join(wanted) + "\n")
    code = install(python, ["-r", os.fspath(requirements)], torch)
    if not code and main_lock:
        code = install(python, ["--no-deps", "--no-build-isolation", "--editable", os.fspath(ROOT)], "")
    if kernels and kernels.poll() is None:
        say(f"Packages are there after {time.monotonic() - began:.0f} s; the compiler is at the CPU kernels.")
    if kernels:
        kernels.wait()  # training works without them, slower: they need not succeed
    if not code:
        say(f"Installed in {time.monotonic() - began:.0f} s.")
    return code


def install(python: Path, what: list[str], torch: str) -> int:
    """`uv pip install`, else `pip install`."""
    pip = [os.fspath(python), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    uv = find_uv(python, pip)
    if torch == "cpu" and not uv:
        say(f"error: TORCH=cpu needs uv, which cannot be installed here. {LEAVE_OUT}")
        return 1
    if uv:
        backend = ["--torch-backend", "cpu"] if torch == "cpu" else []
        words = [uv, "pip", "install", "--quiet", "--python", os.fspath(python), *backend, *what]
        code = subprocess.run(words, env=uv_settings(pip)).returncode
        if not code:
            return 0
        if torch == "cpu":
            say(f"error: PyTorch's wheels for the CPU alone cannot be had here. {LEAVE_OUT}")
            return code
        say("uv could not install that; pip tries, which takes some minutes.")
    return subprocess.run([*pip, "install", *what], env={**os.environ, "PYTHONWARNINGS": "ignore"}).returncode


def find_uv(python: Path, pip: list[str]) -> str:
    """uv's path, installed into the environment if need be; empty where that fails."""
    mine = python.with_name("uv")
    if mine.exists():
        return os.fspath(mine)
    found = shutil.which("uv")
    if found and not subprocess.run([found, "--version"], capture_output=True).returncode:
        return found
    pin = re.search(r"^uv==.*", (ROOT / "requirements.lock").read_text(), re.M)
    done = subprocess.run([*pip, "install", pin[0] if pin else "uv"], capture_output=True)
    return "" if done.returncode else os.fspath(mine)


def uv_settings(pip: list[str]) -> dict[str, str]:
    """The environment, with the package indexes that pip's configuration names: uv does not read it."""
    listed = subprocess.run([*pip, "config", "list"], capture_output=True, text=True).stdout
    settings = dict(os.environ)
    for key, name in (
        ("index-url", "UV_DEFAULT_INDEX"),
        ("extra-index-url", "UV_INDEX"),
        ("find-links", "UV_FIND_LINKS"),
    ):
        for found in re.findall(rf"^(?:global|install|:env:)\.{key}='(.*)'$", listed, re.M):
            settings.setdefault(name, " ".join(found.split("\\n")))
    settings.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")  # as pip: a version may lie in any of them
    return settings


def say(text: str) -> None:
    """Print a line at once; errors on standard error."""
    print(text, file=sys.stderr if text.startswith("error: ") else sys.stdout, flush=True)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), os.environ.get("TORCH", "")))
