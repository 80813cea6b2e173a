"""Text that is not UTF-8: names of files in another encoding are written and printed with escapes, never an error."""

import json
import os
import subprocess
import sys

import pytest

from ablations.core import files, provenance
from ablations.core.text import are, counted, nearest, some
from tests.sweeps import ROOT, environment

LATIN1 = os.fsdecode(b"caf\xe9")
"""A folder's name in Latin-1, as Python gives it where file names are UTF-8."""


def test_text_is_utf8_and_what_is_not_is_escaped():
    assert files.encode_text("Größe λ") == "Größe λ".encode()
    assert files.encode_text(LATIN1) == b"caf\\udce9"


def test_of_many_items_five_are_named():
    assert some([]) == "" and some(list("abcde")) == "a, b, c, d, e"
    assert some(list("abcdef"), "; ") == "a; b; c; d; e; ..."


def test_json_is_written_and_its_names_are_found_again(tmp_path):
    files.write_json(tmp_path / "x.json", {"dir": LATIN1})
    assert json.loads((tmp_path / "x.json").read_text(encoding="ascii")) == {"dir": LATIN1}


def test_a_recorded_command_is_text_that_a_shell_reads_as_the_same_bytes(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["x/ablations/__main__.py", "a b", "plain", f"data.dir=it's \\ {LATIN1}"])
    said = provenance.command()
    assert said.encode("utf-8") and said.startswith("python -m ablations 'a b' plain $'")
    shell = ["bash", "-c", f"printf %s {said.split('plain ')[1]}"]
    assert subprocess.run(shell, capture_output=True, check=True).stdout == b"data.dir=it's \\ caf\xe9"


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_commands_print_what_a_stream_cannot_encode_with_escapes(encoding):
    code = (
        "import sys; from ablations.core.console import console, prepare_output; prepare_output()\n"
        f"console().print({LATIN1!r}, chr(955)); print({LATIN1!r}, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**environment(), "PYTHONIOENCODING": encoding},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert b"caf\\udce9" in done.stdout and b"caf\\udce9" in done.stderr


def test_closed_streams_are_no_error():
    code = "import sys; sys.stdout = None; from ablations.core.console import prepare_output; prepare_output()"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment()).returncode == 0


def test_words_follow_their_count():
    assert [counted(n, "run") for n in (0, 1, 2, 1200)] == ["0 runs", "1 run", "2 runs", "1,200 runs"]
    assert [are(n) for n in (0, 1, 2)] == ["are", "is", "are"]


def test_an_unknown_name_is_told_what_may_be_meant_else_all_names():
    known = ("rows", "columns")
    assert nearest("rws", known) == "did you mean rows?" and nearest(3, known) == "there are rows, columns."
    assert nearest("gains", ["pool"], ["gain"]) == "did you mean gain?", "one that is not listed"
    assert nearest("gains", ["pool"], ["gain"], 0.95) == "there are pool." and nearest("x", ()) == "there are none."
