"""Input of others: no code of theirs is run, no path leaves results/, no text becomes HTML, no image fills memory."""

import ast
import json
import pickle
import struct
import zlib

import numpy as np
import pytest
import torch

from ablations.core.errors import UserError
from ablations.data import decode
from ablations.store import run_folder
from ablations.store.plans import read_plans
from tests import results_fixture as fixture
from tests.sweeps import ROOT, ablations

SOURCES = [path for folder in ("ablations", "analysis", "model") for path in sorted((ROOT / folder).rglob("*.py"))]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_runs_text_as_code(path):
    """No eval, exec or shell; pickles only in ablations/data/sets/cifar.py, which checks the official md5 first."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        assert name not in ("eval", "exec", "compile", "os.system", "os.popen", "pickle.load", "pickle.loads"), name
        assert keywords.get("shell") != "True" and keywords.get("allow_pickle") != "True"
        assert name not in ("yaml.load", "yaml.unsafe_load", "yaml.full_load")
        assert name != "torch.load" or keywords.get("weights_only") == "True"
        assert "Unpickler" not in name or path.name == "cifar.py"


def png(width: int, height: int) -> bytes:
    """A PNG of some kilobytes at most that claims so many pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("width,height", [(10_000, 10_000), (50_000, 50_000), (2**31 - 1, 2**31 - 1), (89_478_486, 1)])
def test_images_of_absurd_size_are_refused_before_they_are_decoded(tmp_path, width, height, monkeypatch):
    path = tmp_path / "bomb.png"
    path.write_bytes(png(width, height))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("it was decoded"))
    reason = decode.decode(path, 32)
    assert isinstance(reason, str) and ("limit" in reason), reason


def test_a_large_photograph_is_no_bomb(tmp_path):
    from PIL import Image

    Image.new("L", (9000, 9000)).save(tmp_path / "large.png")
    assert isinstance(decode.decode(tmp_path / "large.png", 16), np.ndarray)


@pytest.mark.parametrize(
    "name", ["../../x", "/etc/passwd", "..", "", "a" * 15, "A" * 16, "a" * 16 + "/..", "a" * 16 + "\n"]
)
def test_a_run_is_named_by_hex_digits_so_that_no_path_leaves_results(tmp_path, name):
    with pytest.raises(UserError, match="is not a run"):
        run_folder.path_of(tmp_path, name)


@pytest.mark.parametrize(
    "override", ["study=../../out", "study=/tmp/out", "study=a/b", "study=.hidden", "study=..", "preset=a\\/b"]
)
def test_names_that_would_leave_results_are_refused(tmp_path, override):
    before = set(tmp_path.rglob("*"))
    done = ablations(tmp_path / "results", "-m", override)
    assert done.returncode == 2 and "Traceback" not in done.stderr and done.stderr.strip()
    assert not [path for path in set(tmp_path.rglob("*")) - before if "results" not in path.parts]


def test_a_plan_of_others_is_shown_as_text_and_reads_no_other_file(tmp_path, monkeypatch):
    """A plan, a failure and provenance made up by somebody, with markup wherever text may stand."""
    from analysis import publish

    monkeypatch.setattr("analysis.runs.macs._measure", fixture.cheap_costs)
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    protocol = fixture.protocol()
    runs = fixture.grid("groups", (0, 1), protocol, (0.25,))
    for one in runs[1:]:
        fixture.write_done(tmp_path, one, 0.3)
    fixture.write_failure(tmp_path, runs[0], error=evil)
    path = fixture.write_plan(tmp_path, "groups", runs, preset=evil)
    plan = json.loads(path.read_text())
    plan["command"] = evil
    path.write_text(json.dumps(plan))
    outside = json.loads(path.read_text())
    outside["runs"][0]["run_id"] = "../../../etc"
    outside["study"] = "shuffle"
    (tmp_path / "plans" / "shuffle-x.json").write_text(json.dumps(outside))
    assert [found.study for found in read_plans(tmp_path)] == ["groups"]
    for folder in (tmp_path / "runs").iterdir():
        origin = json.loads((folder / "provenance.json").read_text())
        text = dict.fromkeys(("command", "host", "device", "commit", "preset"), evil)
        (folder / "provenance.json").write_text(json.dumps({**origin, **text}))
    publish.publish(tmp_path)
    pages = list(tmp_path.rglob("*.html"))
    assert pages
    for page in pages:
        content = page.read_text(encoding="utf-8")
        assert "<script>alert" not in content and "<img src=x" not in content, page


def test_a_poisoned_checkpoint_runs_nothing_and_the_run_starts_anew(tmp_path):
    results = tmp_path / "results"
    assert ablations(results, "-m", "model.groups=1").returncode == 0
    (folder,) = results.glob("runs/*")

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "owned"), "w"))

    for name in ("checkpoint.pt", "checkpoint.pt.previous"):
        torch.save({"run_id": folder.name, "sha256": Evil(), "model": Evil()}, folder / name)
    (folder / "correct.npy").write_bytes(pickle.dumps(Evil()))
    again = ablations(results, "-m", "model.groups=1")
    assert again.returncode == 0 and "set aside" in again.stdout and "1 of 1 run done" in again.stdout
    assert not (tmp_path / "owned").exists()
