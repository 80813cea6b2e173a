"""Modules that answer in a process of their own: what they say when they fail, above all for lack of memory."""

import os
import re
import signal
from pathlib import Path

import pytest

from ablations.core import json_subprocess
from ablations.core.errors import UserError
from ablations.core.json_subprocess import run_module_json


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Makes a module that does something with a question, and is found as `probe`."""
    monkeypatch.setattr(json_subprocess, "ROOT", tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{Path(json_subprocess.__file__).parents[2]}{os.pathsep}{tmp_path}")

    def make(body: str) -> str:
        code = "from ablations.core.json_subprocess import answer_json\n" + body
        (tmp_path / "probe.py").write_text(code)
        return "probe"

    return make


def test_a_question_is_answered(module) -> None:
    name = module("print('noise')\nanswer_json(lambda question: {'sum': sum(question)})")
    assert run_module_json(name, [1, 2, 3]) == {"sum": 6}


def test_a_failure_is_its_last_line(module) -> None:
    name = module("answer_json(lambda question: question['width'])")
    with pytest.raises(RuntimeError, match=r"^KeyError: 'width'$"):
        run_module_json(name, {})
    with pytest.raises(UserError, match=r"^It cannot be measured: KeyError: 'width'$"):
        run_module_json(name, {}, "It cannot be measured")


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        (f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})", r"was killed \(SIGKILL\), most likely"),
        ("answer_json(lambda question: bytes(1 << 60))", r"got no more memory \(MemoryError\)"),
        ('raise RuntimeError("[enforce fail] can\'t allocate memory: you tried to allocate 1 bytes.")', "tried to"),
    ],
)
def test_out_of_memory_says_how_much_it_had_and_what_to_do(module, body: str, cause: str) -> None:
    with pytest.raises(RuntimeError, match=cause) as caught:
        run_module_json(module(body), None)
    assert re.search(r"It had taken \d+\.\d\d GB and needs more: end other programs, or allow more", str(caught.value))
