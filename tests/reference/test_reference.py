"""Committed studies: packed without loss, published to the letter from what was packed, and drift is found."""

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ablations.core.errors import UserError
from ablations.core.files import read_json
from ablations.core.run_spec import to_json
from ablations.store import run_folder
from ablations.store.protocol_folders import ProtocolFolders, write_folders
from analysis import publish
from analysis.reference import commands, compare
from analysis.reference.format import to_files
from analysis.reference.pack import gather
from analysis.reference.reader import from_files
from analysis.runs import frame, macs
from tests import results_fixture as fixture

REASON = 'out of memory,\n  at line 3: "tensor"'


def cheap(figures: dict[str, Any]) -> dict[str, bytes]:
    """Stands in for drawing, which has its own tests here and elsewhere."""
    return fixture.undrawn(figures, f"drawn {len(next(iter(figures.values())).args[0])}".encode())


@pytest.fixture(scope="module", autouse=True)
def _quick(made_up_costs: None) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publish, "_draw", cheap)
        yield


def study(results: Path, seeds: int = 2) -> Path:
    """Both studies, with all that a sweep leaves: a run that failed, one that stopped, one not begun, one unplanned."""
    fixture.plausible(results, seeds=seeds)
    failed, absent, stopped, begun = (fixture.run(4, width, seed=k) for width, k in FATES)
    for one in (failed, absent, stopped, begun):
        shutil.rmtree(results / "runs" / one.run_id)
    fixture.write_failure(results, failed, "diverged", REASON)
    fixture.write_progress(results, stopped, updated=0)
    (results / "runs" / stopped.run_id / "metrics.csv").write_text(
        f"{fixture.METRICS}\n1,31,0.175,nan,0.9,,,,1.5,1300.0\n"
    )
    fixture.begin(results, begun)
    fixture.write_done(results, fixture.run(2, 1.5), 0.123)
    two = fixture.run(1, 0.5, seed=1)
    fixture.begin(results, two, commit="1" * 40, dirty=True)
    cells = {one.cell_id: {"summary": f"{k} parameters", "digest": "f" * 16} for k, one in enumerate((failed, two))}
    (results / "fingerprints.json").write_text(json.dumps({"schema": 2, "cells": {**cells, "0" * 16: {}}}))
    (results / "latency.csv").write_text("run_id,ms\n1,2.5\n")
    return results


FATES = ((1.0, 1), (0.5, 1), (0.25, 1), (0.25, 0))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return study(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def packed_once(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reference") / "study"
    commands.pack_study(results, folder)
    return folder


@pytest.fixture
def folder(packed_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(packed_once, tmp_path / "study"))


def told(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What the command says of a folder in which something is wrong."""
    assert commands.main(["check", str(folder)]) == 1
    return capsys.readouterr().out


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) >= 1
    path.write_text(text.replace(old, new, 1))


def test_what_is_published_of_the_packed_is_what_is_published_of_the_results(packed_once, results, tmp_path):
    mine = Path(shutil.copytree(results, tmp_path / "other-place" / "results"))
    files = publish.publish(mine)
    texts = [path for path in files if path.suffix not in (".svg", ".png")]
    assert len(texts) == 20
    for path in texts:
        name = Path("tables/runs.csv") if path.name == "runs.csv" else path.relative_to(mine)
        assert (packed_once / name).read_bytes() == path.read_bytes(), path.name


def test_a_committed_study_is_what_its_data_gives(packed_once, capsys):
    assert commands.main(["check", str(packed_once)]) == 0
    out = capsys.readouterr().out
    assert out == f"30 files of {packed_once} are what its data gives\n"
    assert not list(packed_once.glob("figures/*-column.svg")) and len(list(packed_once.glob("figures/*"))) == 5
    assert (packed_once / "latency.csv").read_text() == "run_id,ms\n1,2.5\n"
    assert not list(packed_once.rglob("*.part")) and not (packed_once / "complexity.json").exists()


def test_every_run_has_a_row(packed_once, results):
    rows = pd.read_csv(packed_once / "runs.csv")
    known = frame.runs(results)
    assert list(rows["run_id"]) == list(known["run_id"]) and list(rows["state"]) == list(known["state"])
    assert {"done", "diverged", "stopped", "planned"} == {*rows["state"]}
    for ours, theirs in (("error", "error"), ("top5_error", "top5_error"), ("seconds.total", "seconds")):
        np.testing.assert_array_equal(rows[ours], known[theirs].astype(float))
    assert rows.loc[rows["provenance.dirty"].eq(True), "provenance.commit"].astype(str).str.contains("111").all()
    content = read_json(packed_once / "study.json") or {}
    assert content["provenance"]["versions"] == {"python": "3.11.0", "torch": "2.15.0"}
    assert content["provenance"]["command"] == "python -m ablations" and len(content["fingerprints"]) == 2


def test_the_runs_come_back(packed_once, results, tmp_path, capsys):
    assert commands.main(["unpack", str(packed_once), str(tmp_path / "back")]) == 0
    known, back = frame.runs(results), frame.runs(tmp_path / "back")
    pd.testing.assert_frame_equal(back, known)
    for run_id in known.loc[known["state"] == "done", "run_id"]:
        here, there = results / "runs" / run_id, tmp_path / "back" / "runs" / run_id
        for name in ("run.json", "provenance.json"):
            assert read_json(here / name) == read_json(there / name)
        assert (here / "metrics.csv").read_text() == (there / "metrics.csv").read_text()
        assert (here / "correct.npy").read_bytes() == (there / "correct.npy").read_bytes()
        assert run_folder.check_run(there, run_id, thorough=True)[0] is not None
    failed = fixture.run(4, *FATES[0][:1], seed=1)
    assert run_folder.failure(tmp_path / "back", failed.run_id).error == REASON
    assert not (tmp_path / "back" / "runs" / fixture.run(4, 0.5, seed=1).run_id).exists()
    capsys.readouterr()
    assert commands.main(["unpack", str(packed_once), str(tmp_path / "back")]) == 1
    assert "has results already" in capsys.readouterr().err


def test_a_number_that_was_changed_is_found(folder, capsys):
    row = next(line for line in (folder / "runs.csv").read_text().splitlines() if ",done," in line)
    error = pd.read_csv(folder / "runs.csv", dtype=str).set_index("run_id").loc[row[:16], "error"]
    edit(folder / "runs.csv", row, row.replace(f",{error},", ",0.5,", 1))
    out = told(folder, capsys)
    assert f"run {row[:16]}: its error is 0.5, by its bits" in out and "in its last epoch" in out
    assert f"{folder}/tables/table2.csv: not what the data gives" in out and "claims.json: not" in out
    assert max(map(len, out.splitlines())) < 300 and len(out.splitlines()) < 200


def test_a_byte_of_a_table_that_was_changed_is_found(folder, capsys):
    edit(folder / "tables" / "table3.md", "No shuffle", "No Shuffle")
    out = told(folder, capsys).splitlines()
    assert out[0] == f"{folder}/tables/table3.md: not what the data gives (- committed, + from the data)"
    assert len(out) == 3 and "No Shuffle" in out[1] and "No shuffle" in out[2]


def test_a_number_that_nothing_shows_is_found_too(folder, capsys):
    edit(folder / "curves.csv", ",31,0.175,", ",31,0.185,")
    out = told(folder, capsys)
    assert "study.json: not what the data gives" in out and '"curves.csv": "' in out


def test_a_bit_that_was_swapped_is_found(folder, capsys):
    content = bytearray((folder / "correct.npy").read_bytes())
    content[-1] ^= 1
    (folder / "correct.npy").write_bytes(content)
    assert "by its bits" in told(folder, capsys)


def test_a_line_of_the_report_that_was_changed_is_shown_around_the_change(folder, capsys):
    edit(folder / "report.html", "Channel shuffle", "channel shuffle")
    out = told(folder, capsys)
    assert f"{folder}/report.html: not what" in out and out.count("annel shuffle") == 2


def test_files_that_are_missing_too_many_or_too_large_are_found(folder, capsys):
    (folder / "tables" / "table1.tex").unlink()
    (folder / "tables" / "old.csv").write_text("from another day")
    (folder / "photo.png").write_bytes(bytes((1 << 20) + 1))
    out = told(folder, capsys)
    assert "tables/table1.tex: missing" in out and "tables/old.csv: nothing in the data gives this" in out
    assert "photo.png: 1,048,577 bytes" in out
    assert commands.main(["draw", str(folder)]) == 0
    (folder / "photo.png").unlink()
    assert commands.main(["check", str(folder)]) == 0


def test_another_matplotlib_excuses_figures_and_nothing_else(folder, capsys):
    drawn = json.loads((folder / "drawn.json").read_text())
    (folder / "drawn.json").write_text(json.dumps({**drawn, "matplotlib": "1.0"}))
    edit(folder / "figures" / "curves.svg", "drawn", "other")
    edit(folder / "report.html", "<svg", "<svg data-other=''")
    assert commands.main(["check", str(folder)]) == 0
    assert "25 files of" in capsys.readouterr().out
    edit(folder / "claims.json", "inconclusive", "supported")
    out = told(folder, capsys)
    assert "claims.json: not what" in out and "matplotlib 1.0, here" in out


@pytest.mark.parametrize(
    "name,old,new,says",
    [
        ("runs.csv", ",shufflenet,1,", ",shufflenet,2,", r"runs.csv, line 2: run_id is [0-9a-f]{16}, but the run that"),
        (
            "runs.csv",
            ",shufflenet,1,",
            ",shufflenet,one,",
            r"runs.csv, line 2: not a run \(ValueError: variant.groups is 'one'",
        ),
        ("runs.csv", ",done,", ",did,", r"runs.csv, line 2: not a run \(ValueError: state is 'did'"),
        ("study.json", '"epochs": 8', '"epochs": 9', "line 2: run_id is"),
        ("study.json", '"schema": 1', '"schema": 9', "has schema 9, this version knows 1"),
        ("study.json", '"plans"', '"plan"', "does not say what it should: plans"),
        ("curves.csv", ",31,", ",x,", "curves.csv, line 2: not a row of metrics"),
        ("curves.csv", "\n", "\n" + "0" * 16 + 10 * ",1" + "\n", "has rows of a run that runs.csv lacks: 0000"),
    ],
)
def test_data_that_make_no_sense_are_told_with_their_line(folder, capsys, name, old, new, says):
    edit(folder / name, old, new)
    with pytest.raises(UserError, match=says):
        from_files(folder)
    assert commands.main(["check", str(folder)]) == 1
    assert capsys.readouterr().err.startswith(f"error: {folder}/")


def test_bits_of_another_number_of_runs_are_told(folder):
    np.save(folder / "correct.npy", np.load(folder / "correct.npy")[1:])
    with pytest.raises(UserError, match="not one row of bytes for each of the"):
        from_files(folder)


def test_paths_of_this_machine_stay_here(tmp_path, capsys):
    one, failed = fixture.run(3, 0.5), fixture.run(8, 0.5)
    folder = fixture.write_done(tmp_path / "results", one, 0.25).parent
    home = "/home/someone/my photos"
    command = f"python -m ablations 'data.dir=\"{home}\"' runtime.results_dir=~/x"
    for path in (folder / "provenance.json", fixture.write_plan(tmp_path / "results", "groups", [one, failed])):
        path.write_text(json.dumps({**json.loads(path.read_text()), "command": command}))
    fixture.write_failure(tmp_path / "results", failed, "failed", f"[Errno 2] No such file: '{home}/a.jpg'")
    assert commands.main(["pack", str(tmp_path / "results"), str(tmp_path / "study")]) == 0
    said = capsys.readouterr().out
    assert "stand as ... in: python -m ablations 'data.dir=\"...\"' runtime.results_dir=..." in said
    for path in (tmp_path / "study").rglob("*"):
        assert path.is_dir() or not any(word in path.read_bytes() for word in (b"someone", b"photos", b"~/"))
    assert "No such file: &#39;...&#39;" in (tmp_path / "study" / "report.html").read_text()
    assert commands.main(["check", str(tmp_path / "study")]) == 0
    edit(tmp_path / "study" / "study.json", 'data.dir=\\"...', 'data.dir=\\"/home/someone')
    assert "study.json: not what the data gives" in told(tmp_path / "study", capsys)


@pytest.mark.parametrize("name", ["anna o'brien", "anna, größe=1 [x]", 'anna "q" (y): z', "~anna {w}"])
def test_a_pack_has_no_part_of_odd_paths(tmp_path, name):
    """Results, data and a logger's address under a folder of this name, quoted as a shell and Hydra want it."""
    home = tmp_path / name / "geheim b"
    escaped = str(home).replace("'", "\\'")
    arguments = (f"data.dir='{escaped}/photos'", f"runtime.results_dir={home}/res", f"logger.uri=file://{home}/ml runs")
    command = " ".join(["python -m ablations", *map(shlex.quote, arguments), "preset=quick"])
    results, one, failed = home / "res", fixture.run(3, 0.5), fixture.run(8, 0.5)
    done, plan = fixture.write_done(results, one, 0.25), fixture.write_plan(results, "groups", [one, failed])
    for path in (done.with_name("provenance.json"), plan):
        path.write_text(json.dumps({**json.loads(path.read_text()), "command": command}))
    fixture.write_failure(results, failed, "failed", f"{home}/photos/a b.jpg cannot be read: '{home}/res/runs' is full")
    latency = "input,device,note\nglyphs,cpu,1\n".replace("cpu", f'"cpu at {home}"'.replace('"q"', '""q""'))
    (results / "latency.csv").write_text(latency)
    commands.pack_study(results, tmp_path / "study")
    for path in (tmp_path / "study").rglob("*"):
        text = path.read_bytes().decode(errors="replace") if path.is_file() else ""
        assert not re.search(r"anna|geheim|brien|gr.{1,9}e=1|photos|ml runs", text), path
    content = read_json(tmp_path / "study" / "study.json") or {}
    assert content["plans"][0]["command"].endswith(" preset=quick")
    assert (tmp_path / "study" / "latency.csv").read_text() == "input,device,note\nglyphs,cpu at ...,1\n"
    assert commands.main(["check", str(tmp_path / "study")]) == 0


def test_one_protocol_is_chosen_of_several(tmp_path, capsys):
    longer = fixture.protocol(epochs=20)
    for under in (fixture.PROTOCOL, longer):
        fixture.write_done(tmp_path / "results", fixture.run(3, 0.5, under=under), 0.25)
    assert commands.main(["pack", str(tmp_path / "results"), str(tmp_path / "study")]) == 1
    said = capsys.readouterr().err
    first, other = (fixture.run(3, 0.5, under=under).protocol_id for under in (fixture.PROTOCOL, longer))
    assert "runs of several protocols" in said and "choose one with --protocol" in said
    assert f"{first} (glyphs" in said and f"{other} (glyphs" in said and "20 epochs" in said
    write_folders(tmp_path / "results", ProtocolFolders({first: "glyphs-8ep-aaaa", other: "glyphs-20ep-bbbb"}))
    for word in (other[:6], "glyphs-20ep-bbbb", "20ep"):
        assert gather(tmp_path / "results", word).runs[0].run.protocol == longer
    with pytest.raises(UserError, match="is no protocol zz"):
        gather(tmp_path / "results", "zz")
    with pytest.raises(UserError, match="no results in"):
        gather(tmp_path / "empty")


def test_runs_under_way_damaged_or_unknown_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 1000.0)
    folder = fixture.write_progress(tmp_path, fixture.run(3, 0.5), updated=999.0).parent
    with pytest.raises(UserError, match=r"running, the first is .*: wait for it"):
        gather(tmp_path)
    (folder / "progress.json").unlink()
    (folder / "result.json").write_text("{")
    with pytest.raises(UserError, match=r"are damaged, the first is .* cut short"):
        gather(tmp_path)
    (folder / "result.json").unlink()
    (folder / "run.json").write_text("{}")
    with pytest.raises(UserError, match=r"run.json cannot be read.* Delete the folder"):
        gather(tmp_path)


def test_results_that_contradict_themselves_are_not_packed(tmp_path):
    folder = fixture.write_done(tmp_path / "results", fixture.run(3, 0.5), 0.25, np.arange(1000) >= 251).parent
    with pytest.raises(UserError, match=r"contradicts itself: run .* error is 0.25, by its bits 251 of 1,000"):
        commands.pack_study(tmp_path / "results", tmp_path / "study")
    (folder / "correct.npy").unlink()
    with pytest.raises(UserError, match=r"correct.npy cannot be read"):
        commands.pack_study(tmp_path / "results", tmp_path / "study")
    assert not (tmp_path / "study").exists()


def test_a_folder_with_other_files_is_left_alone(results, tmp_path):
    (tmp_path / "tables").mkdir()
    with pytest.raises(UserError, match="not packed by this command"):
        commands.pack_study(results, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["tables"]


def test_what_is_too_large_is_left_out_or_refused(results, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("analysis.reference.format.LIMIT", 4000)
    said = commands.pack_study(results, tmp_path / "study")
    assert "bits of all test images" in said[0] and not (tmp_path / "study" / "correct.npy").exists()
    assert commands.main(["check", str(tmp_path / "study")]) == 0
    monkeypatch.setattr("analysis.reference.commands.LIMIT", 40_000)
    with pytest.raises(UserError, match=r"40,000 bytes: too large are .*report\.html \([\d,]+\)"):
        commands.pack_study(results, tmp_path / "study")


def test_packing_again_replaces_what_was_there(tmp_path):
    study(tmp_path / "results")
    commands.pack_study(tmp_path / "results", tmp_path / "study")
    (tmp_path / "results" / "latency.csv").unlink()
    fixture.write_done(tmp_path / "results", fixture.run(4, 0.5, seed=1), 0.21)
    commands.pack_study(tmp_path / "results", tmp_path / "study")
    assert not (tmp_path / "study" / "latency.csv").exists()
    assert commands.main(["check", str(tmp_path / "study")]) == 0


def test_runs_keep_the_names_that_older_maths_gave_them(results, tmp_path):
    """A study from before `NUMERICS` was bumped checks as ever."""
    older = replace(gather(results), numerics=0, fingerprints={})
    older = replace(older, protocol_id=to_json(older.runs[0].run, 0)["protocol_id"])
    assert older.run_id(older.runs[0].run) != older.runs[0].run.run_id
    given = commands.published(older, tmp_path)
    assert to_files(older).items() <= given.items() and older.protocol_id in given["report.html"].decode()


def test_a_page_that_is_too_large_loses_figures_until_it_fits(results, tmp_path, monkeypatch):
    svg = f'<svg xmlns="http://www.w3.org/2000/svg"><text>{"x" * 30_000}</text></svg>'.encode()
    monkeypatch.setattr(publish, "_draw", lambda figures: fixture.undrawn(figures, svg))
    whole = commands.published(gather(results), tmp_path)["report.html"]
    monkeypatch.setattr(commands, "LIMIT", len(whole) - 40_000)
    fits = commands.published(gather(results), tmp_path)["report.html"]
    assert whole.count(b"x" * 30_000) == 10 and fits.count(b"x" * 30_000) == 8


def test_published_twice_figures_and_page_are_the_same(tmp_path, monkeypatch):
    """Drawn in earnest: the page has the figures inside."""
    monkeypatch.undo()
    results = tmp_path / "results"
    for groups, error in ((1, 0.4), (8, 0.3)):
        fixture.write_done(results, fixture.run(groups, 0.25), error)
    fixture.write_plan(results, "groups", fixture.grid("groups", [0], widths=[0.25]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publish, "_draw", DRAW)
        packed = gather(results)
        first, second = commands.published(packed, tmp_path), commands.published(packed, tmp_path)
    assert first == second and b"<svg" in first["report.html"] and first["figures/curves.svg"][:5] == b"<?xml"
    assert not [name for name in first if name.endswith((".png", "-column.svg"))]


DRAW = publish._draw


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Networks' costs are measured once for all committed studies."""
    return tmp_path_factory.mktemp("place")


MEASURE = macs._measure


@pytest.mark.parametrize("committed", commands.committed(), ids=lambda path: path.name)
def test_committed_studies_are_what_their_data_gives(committed, place, monkeypatch):
    monkeypatch.setattr(macs, "_measure", MEASURE)
    monkeypatch.setattr(publish, "_draw", DRAW)
    _, wrong = commands.check_study(committed, place)
    assert not wrong, "\n".join(wrong)


def test_versions_are_those_that_draw():
    assert compare.versions()["matplotlib"] and set(compare.versions()) == set(compare.DREW)
