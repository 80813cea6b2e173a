"""Malformed overrides, configurations and files of results at the commands: a sentence and a code, never a traceback.

Each command runs in this process; what it would train is replaced, what it would read is not.
"""

import io
import json
import shutil
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from hydra.core.global_hydra import GlobalHydra
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ablations.monitor import status
from ablations.store import run_folder
from ablations.sweep import hydra_app as ablations_command
from analysis import __main__ as analysis_command
from tests import results_fixture as fixture
from tests.sweeps import command

KEYS = (
    *("model.groups", "model.width", "model.shuffle", "model.stem", "model.stem_channels", "model.structure", "model"),
    *("seed", "precision", "study", "preset", "recipe", "recipe.epochs", "recipe.lr", "recipe.area", "recipe.crop"),
    *("data", "data.name", "data.resolution", "data.train_images", "data.characters", "data.dir", "data.cache_dir"),
    *("runtime.workers", "runtime.threads", "runtime.retries", "runtime.results_dir", "runtime", "hydra.job.num"),
    *("ablation", "logger", "hydra.sweeper.params", "", "+", "~model", "~data", "++x", "a.b@c"),
)
VALUES = st.one_of(
    st.sampled_from(["", "null", "-1", "0", "1e999", "nan", "[]", "{}", "[1,[2]]", "{a:1}", "${seed}", "${", "${x.y}"]),
    st.sampled_from(["???", "range(0)", "choice()", "glob(*)", "interval(0,1)", "1,2", "'", "../x", "\x00", "%s"]),
    st.integers().map(str),
    st.floats().map(str),
    st.text(max_size=12),
)
OVERRIDES = st.lists(
    st.one_of(st.builds("{}={}".format, st.sampled_from(KEYS), VALUES), st.text(max_size=15)), min_size=1, max_size=3
)
QUICK = settings(
    deadline=None,
    max_examples=60,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def outcome(main: Any, arguments: list[str]) -> tuple[int, str]:
    """The code that a command ends with and all that it prints; any exception but SystemExit is a failure."""
    said = io.StringIO()
    before, sys.argv = sys.argv, arguments
    code: Any = 0
    try:
        with redirect_stdout(said), redirect_stderr(said):
            code = main()
    except SystemExit as end:
        code = end.code
        if isinstance(code, str):
            said.write(code)
            code = 1
    finally:
        sys.argv = before
    return int(code or 0), said.getvalue()


@pytest.fixture
def no_training(monkeypatch, tmp_path):
    """Whatever is well-formed would be trained: here it is only planned."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("hydra._internal.utils.is_under_debugger", lambda: False)
    monkeypatch.setattr("ablations.sweep.local_launcher.run_all", lambda planned: ["waiting"] * len(planned))
    monkeypatch.setattr("ablations.sweep.hydra_app.run_job", lambda job, stop: "stopped")
    monkeypatch.setattr("ablations.sweep.hydra_app.prepare", lambda planned: tmp_path)
    monkeypatch.setattr("ablations.verification.fingerprint.verify", lambda runs, results, folders: None)
    return tmp_path


@QUICK
@given(overrides=OVERRIDES, sweep=st.booleans())
@example(overrides=["=3"], sweep=True)
@example(overrides=["~data"], sweep=True)
@example(overrides=["seed=${seed}"], sweep=True)
@example(overrides=["hydra.sweeper.params={model.groups: 1}"], sweep=True)
def test_overrides(no_training, overrides, sweep):
    GlobalHydra.instance().clear()
    mine = [text for text in overrides if not text.startswith("-")]
    arguments = command(no_training / "results", *(["-m"] if sweep else []), *mine)[2:]
    code, said = outcome(ablations_command.main, arguments)
    assert "Traceback" not in said, said
    assert code != 0 or "Plan:" in said or "stopped" in said, (code, said)
    assert code == 0 or "error: " in said or "not done" in said or "stopped" in said, (code, said)
    outside = {path.name for path in no_training.iterdir()} - {"results", "cache", "images"}
    assert not {name for name in outside if name.startswith(("x", "."))}, outside


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    """A results folder with one run in every state, and a plan of them."""
    results = tmp_path_factory.mktemp("pristine")
    runs = [fixture.run(g, 0.25, seed=seed) for g in (1, 3) for seed in (0, 1)]
    fixture.write_plan(results, "groups", runs)
    fixture.write_done(results, runs[0], 0.25)
    fixture.write_done(results, runs[1], 0.3)
    fixture.write_failure(results, runs[2])
    fixture.write_progress(results, runs[3], 4e9)
    return results


def files_of(results: Path) -> list[Path]:
    return sorted(path.relative_to(results) for path in results.rglob("*") if path.is_file())


# A part of this test's own for each kind of file that commands read. To fuzz another (analysis/claims.yaml, say), add
# its name here, a folder that has it to `pristine`, and the command that reads it below.
READ = (
    "run.json",
    "provenance.json",
    "result.json",
    "failure.json",
    "progress.json",
    "metrics.csv",
    "correct.npy",
    "plan",
)


@pytest.mark.parametrize("kind", READ)
@settings(parent=QUICK, max_examples=30)
@given(how=st.sampled_from(["value", "key", "bytes", "cut", "empty"]), data=st.data())
def test_files_of_results(pristine, tmp_path_factory, kind, how, data):
    results = tmp_path_factory.mktemp("fuzz") / "results"
    shutil.copytree(pristine, results)
    chosen = [path for path in files_of(results) if path.name == kind or (kind == "plan" and path.parts[0] == "plans")]
    path = results / data.draw(st.sampled_from(chosen))
    spoil(path, how, data)
    for arguments, main in (
        (["status", "--results", str(results)], status.main),
        (["tables", "--results", str(results)], lambda: only_frame(results)),
    ):
        code, said = outcome(main, arguments)
        assert "Traceback" not in said and (code == 0 or said.strip()), (path.name, said)
    for run_id in (folder.name for folder in (results / "runs").iterdir()):
        run_folder.result(results, run_id), run_folder.damage(results, run_id), run_folder.failure(results, run_id)
        run_folder.progress(results, run_id)
    shutil.rmtree(results.parent)


def spoil(path: Path, how: str, data: st.DataObject) -> None:
    """Make a file of results malformed in one way."""
    content = path.read_bytes()
    if how in ("value", "key") and path.suffix == ".json":
        tree = json.loads(content)
        holder = data.draw(st.sampled_from(list(dictionaries(tree))))
        key = data.draw(st.sampled_from(sorted(holder)))
        if how == "value":
            holder[key] = data.draw(JSON)
        else:
            del holder[key]
        path.write_text(json.dumps(tree))
    elif how == "cut":
        path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    elif how == "empty":
        path.write_bytes(b"")
    else:
        place = data.draw(st.integers(0, len(content) - 1))
        path.write_bytes(content[:place] + data.draw(st.binary(min_size=1, max_size=4)) + content[place + 1 :])


def dictionaries(tree: Any) -> Any:
    """Every non-empty object in a JSON document."""
    if isinstance(tree, dict):
        if tree:
            yield tree
        for value in tree.values():
            yield from dictionaries(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from dictionaries(value)


def only_frame(results: Path) -> int:
    """The part of `python -m analysis` that reads runs; the whole command is tried once below, for it takes seconds."""
    from analysis.runs import frame

    frame.runs(results)
    return 0


def test_the_analysis_command_on_a_folder_of_rubbish(pristine, tmp_path, monkeypatch):
    monkeypatch.setattr("analysis.runs.macs._measure", fixture.cheap_costs)
    results = tmp_path / "results"
    shutil.copytree(pristine, results)
    for number, path in enumerate(files_of(results)):
        if path.name in ("metrics.csv", "correct.npy", "provenance.json"):
            (results / path).write_bytes([b"", b"\xff\x00", b"{", b"1,2\n3"][number % 4])
    code, said = outcome(lambda: analysis_command.main(["--results", str(results)]), ["analysis"])
    assert code == 0 and "Traceback" not in said, said
    for path in results.glob("runs/*/run.json"):
        path.write_text("[1")
    shutil.rmtree(results / "plans")
    code, said = outcome(lambda: analysis_command.main(["--results", str(results), "--force"]), ["analysis"])
    assert code == 1 and said.startswith("error: "), said
