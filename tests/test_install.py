"""scripts/install.py: which packages, by which installer, and what is said where neither can."""

import subprocess
import sys
from pathlib import Path

import pytest

from scripts import install
from tests.sweeps import ROOT


def names(lock: str) -> set[str]:
    return {line.split("==")[0] for line in (ROOT / lock).read_text().splitlines()}


def test_a_training_installs_no_tools_and_both_locks_agree() -> None:
    mine, all_ = (
        set((ROOT / lock).read_text().splitlines()) for lock in ("requirements.lock", "requirements-dev.lock")
    )
    tools = {"pytest", "mlflow", "playwright", "mypy", "tensorboard", "nbconvert", "ipykernel", "zensical"}
    assert not tools & names("requirements.lock") and tools <= names("requirements-dev.lock")
    pins = {line.split(" ;")[0] for line in mine}
    assert pins <= {line.split(" ;")[0] for line in all_}
    assert not [line for line in mine | all_ if "://" in line or line.startswith("-")]


def test_the_build_for_the_cpu_has_no_packages_of_cuda() -> None:
    left = {name for name in names("requirements.lock") if not install.GPU.match(name)}
    assert {"torch", "torchvision", "numpy"} <= left
    assert not [name for name in left if name.startswith(("nvidia", "cuda", "triton"))]


def test_uv_gets_the_indexes_of_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = "global.index-url='file:///one'\nglobal.extra-index-url='file:///two\\nfile:///three'\nglobal.cert='x'"
    pip = [sys.executable, "-c", f"print({listed!r})"]
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX"):
        monkeypatch.delenv(name, raising=False)
    found = install.uv_settings(pip)
    assert (found["UV_DEFAULT_INDEX"], found["UV_INDEX"]) == ("file:///one", "file:///two file:///three")
    monkeypatch.setenv("UV_INDEX", "mine")
    assert install.uv_settings(pip)["UV_INDEX"] == "mine"


@pytest.mark.parametrize("torch,code,calls", [("", 0, ["uv", "pip"]), ("cpu", 1, ["uv"])])
def test_where_uv_fails_pip_installs_but_not_another_pytorch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], torch: str, code: int, calls: list[str]
) -> None:
    asked: list[str] = []

    def run(words: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        asked.append("uv" if words[0] == "uv" else "pip")
        return subprocess.CompletedProcess(words, int(words[0] == "uv"))

    monkeypatch.setattr(install, "find_uv", lambda *_: "uv")
    monkeypatch.setattr(install, "uv_settings", lambda _: {})
    monkeypatch.setattr(install.subprocess, "run", run)
    assert install.install(Path("python"), ["x"], torch) == code and asked == calls
    said = capsys.readouterr()
    assert "TORCH=cpu" in said.err if torch else "pip tries" in said.out
