"""Publishing: everything that there is, once, and again when something has changed."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ablations.core.errors import UserError
from ablations.core.paths import ROOT
from analysis import publish
from analysis.__main__ import main
from analysis.runs import macs
from tests import results_fixture as fixture

FIXED = "study width groups shuffle macs params error_mean error_low error_high seeds_done seeds_planned seeds_failed"


pytestmark = pytest.mark.usefixtures("made_up_costs")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Protocols whose figures were drawn; drawing itself has its own tests."""
    protocols: list[str] = []

    def draw(figures: dict[str, Any]) -> dict[str, bytes]:
        protocols.append(figures["curves"].args[0]["protocol_id"].iloc[0])
        return fixture.undrawn(figures)

    monkeypatch.setattr(publish, "_draw", draw)
    return protocols


def two_cells(results: Path, epochs: int = 8, day: int = 1) -> None:
    under = fixture.protocol(epochs=epochs)
    fixture.write_plan(results, "groups", fixture.grid("groups", [0], under, [0.25]), day=day)
    for groups, error in ((1, 0.4), (8, 0.3)):
        fixture.write_done(results, fixture.run(groups, 0.25, under=under), error)


def times(files: list[Path]) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in files}


def test_everything_is_written(tmp_path: Path) -> None:
    two_cells(tmp_path)
    files = publish.publish(tmp_path)
    names = {str(path.relative_to(tmp_path)) for path in files}
    for table in ("table1", "table2", "table3", "claims"):
        assert {f"tables/{table}.{suffix}" for suffix in ("csv", "md", "tex", "html")} <= names
    for figure in ("curves", "change_by_groups", "error_by_groups", "error_by_macs", "shuffle_gain"):
        assert {f"figures/{figure}{form}" for form in (".svg", ".png", "-column.svg")} <= names
    assert all(path.stat().st_size > 0 for path in files) and len(files) == len(names)
    assert not list(tmp_path.rglob("*.part"))
    table = pd.read_csv(tmp_path / "tables" / "table2.csv")
    assert list(table.columns[:13]) == [*FIXED.split(), "paper_error"] and len(table) == 15
    assert len(pd.read_csv(tmp_path / "tables" / "table3.csv")) == 12


def test_nothing_is_done_when_nothing_has_changed(tmp_path: Path, drawn: list[str]) -> None:
    two_cells(tmp_path)
    files = publish.publish(tmp_path)
    before = times(files)
    code = (
        f"import sys; from pathlib import Path; from analysis.publish import publish;"
        f"files = publish(Path({str(tmp_path)!r})); heavy = {{'pandas', 'matplotlib', 'numpy', 'torch'}};"
        "sys.exit(f'imported {heavy & set(sys.modules)}' if heavy & set(sys.modules) else 0 if files else 'no files')"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    assert publish.publish(tmp_path) == files and times(files) == before and len(drawn) == 1


def test_a_new_result_is_published(tmp_path: Path, drawn: list[str]) -> None:
    two_cells(tmp_path)
    publish.publish(tmp_path)
    fixture.write_done(tmp_path, fixture.run(3, 0.25), 0.35)
    publish.publish(tmp_path)
    assert "35.0" in (tmp_path / "tables" / "table2.md").read_text() and len(drawn) == 2
    fixture.write_failure(tmp_path, fixture.run(2, 0.25))
    publish.publish(tmp_path)
    assert "1 failed" in (tmp_path / "tables" / "table2.csv").read_text()
    (tmp_path / "runs" / fixture.run(3, 0.25).run_id / "result.json").write_text("{")
    publish.publish(tmp_path)
    assert "1 damaged" in (tmp_path / "tables" / "table2.html").read_text()


def test_what_was_deleted_comes_back_and_force_writes_all(tmp_path: Path, drawn: list[str]) -> None:
    two_cells(tmp_path)
    files = publish.publish(tmp_path)
    (tmp_path / "figures" / "curves.png").unlink()
    (tmp_path / "tables" / "table1.tex").unlink()
    assert publish.publish(tmp_path) == files and all(path.is_file() for path in files)
    assert len(drawn) == 2
    publish.publish(tmp_path, force=True)
    assert len(drawn) == 3


def test_progress_alone_changes_nothing(tmp_path: Path, drawn: list[str]) -> None:
    two_cells(tmp_path)
    digest = publish.input_digest(tmp_path)
    path = tmp_path / "runs" / fixture.run(1, 0.25).run_id
    (path / "progress.json").write_text("{}")
    (tmp_path / "runs" / ".probe-1").touch()
    assert publish.input_digest(tmp_path) == digest
    os.utime(path / "result.json", ns=(1, 1))
    assert publish.input_digest(tmp_path) != digest


def test_only_figures_of_changed_protocols_are_drawn(tmp_path: Path, drawn: list[str]) -> None:
    two_cells(tmp_path, epochs=8, day=1)
    publish.publish(tmp_path)
    two_cells(tmp_path, epochs=20, day=2)
    older, newer = (protocol_id(epochs) for epochs in (8, 20))
    publish.publish(tmp_path)
    assert drawn == [older, newer, older], "the older one has a folder now"
    fixture.write_done(tmp_path, fixture.run(3, 0.25, under=fixture.protocol(epochs=20)), 0.35)
    publish.publish(tmp_path)
    assert drawn == [older, newer, older, newer]


def test_paths_do_not_change_hands(tmp_path: Path, drawn: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The files at the top stay the first protocol's; each of several has a folder, whatever is planned after it."""
    two_cells(tmp_path, epochs=8, day=1)
    alone = publish.publish(tmp_path)
    before = {path: path.read_text() for path in alone if path.name in ("table2.csv", "table2.md")}
    two_cells(tmp_path, epochs=20, day=2)
    files = publish.publish(tmp_path)
    first, second = f"glyphs-8ep-{protocol_id(8)[:4]}", f"glyphs-20ep-{protocol_id(20)[:4]}"
    assert {str(path.parent.relative_to(tmp_path)) for path in files} == {
        ".",
        *(f"{kind}{name}" for kind in ("tables", "figures") for name in ("", f"/{first}", f"/{second}")),
    }
    own = {path for path in alone if not path.stem.startswith(("table3", "shuffle"))}  # planned under neither
    assert len(own) > 10 and own <= set(files)
    tables = {name: pd.read_csv(tmp_path / "tables" / name / "table2.csv") for name in ("", first, second)}
    assert tables[""].epochs.unique().tolist() == tables[first].epochs.unique().tolist() == [8]
    assert tables[second].epochs.unique().tolist() == [20]
    assert all("8 epochs" in path.read_text() for path in before if path.suffix == ".md")
    assert (tmp_path / "tables/table2.md").read_text() == (tmp_path / "tables" / first / "table2.md").read_text()
    claims = json.loads((tmp_path / "claims.json").read_text())["claims"]
    assert {claim["protocol_id"] for claim in claims} == {protocol_id(8), protocol_id(20)}, "of all"

    assert main(["--results", str(tmp_path), "--pin", "20ep"]) == 0
    assert f"are those of {second}" in capsys.readouterr().out
    assert pd.read_csv(tmp_path / "tables/table2.csv").epochs.unique().tolist() == [20]
    assert pd.read_csv(tmp_path / "tables" / first / "table2.csv").epochs.unique().tolist() == [8]
    assert main(["--results", str(tmp_path), "--pin", "glyphs"]) == 1
    assert f"PROTOCOL=glyphs fits several of the protocols there are: {first}; {second}." in capsys.readouterr().err
    assert main(["--results", str(tmp_path), "--pin", ""]) == 1 and f"{first}; {second}" in capsys.readouterr().err
    two_cells(tmp_path, epochs=30, day=3)
    publish.publish(tmp_path, force=True)
    assert pd.read_csv(tmp_path / "tables/table2.csv").epochs.unique().tolist() == [20], "what is pinned stays"


def test_results_of_earlier_versions_keep_their_files_at_the_top(tmp_path: Path, drawn: list[str]) -> None:
    """Those named the figures of other protocols by id; the protocol planned last lay at the top."""
    two_cells(tmp_path, epochs=8, day=1)
    two_cells(tmp_path, epochs=20, day=2)
    old = tmp_path / "figures" / protocol_id(8) / "curves.svg"
    old.parent.mkdir(parents=True)
    old.touch()
    (tmp_path / "tables").mkdir()
    stamp = {
        "inputs": "",
        "figures": {"figures": "", f"figures/{protocol_id(8)}": ""},
        "files": [str(old.relative_to(tmp_path))],
    }
    (tmp_path / publish.STAMP).write_text(json.dumps(stamp))
    publish.publish(tmp_path)
    assert pd.read_csv(tmp_path / "tables/table2.csv").epochs.unique().tolist() == [20]
    assert not old.parent.exists(), "its figures have a folder with a name now"


def protocol_id(epochs: int) -> str:
    return fixture.run(1, 0.25, under=fixture.protocol(epochs=epochs)).protocol_id


def test_figures_without_a_source_are_deleted(tmp_path: Path, drawn: list[str]) -> None:
    two_cells(tmp_path, epochs=8, day=1)
    two_cells(tmp_path, epochs=20, day=2)
    name = f"glyphs-8ep-{protocol_id(8)[:4]}"
    old = {path for path in publish.publish(tmp_path) if path.parent.name == name}
    assert {path.parent.parent.name for path in old} == {"figures", "tables"}
    gone = fixture.protocol(epochs=8)
    for path in (tmp_path / "plans").glob(f"*{fixture.run(1, 0.25, under=gone).protocol_id}.json"):
        path.unlink()
    for groups in (1, 8):
        folder = tmp_path / "runs" / fixture.run(groups, 0.25, under=gone).run_id
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    kept = publish.publish(tmp_path)
    assert not any(path.parent.exists() for path in old)
    assert {path.parent.name for path in kept} >= {f"glyphs-20ep-{protocol_id(20)[:4]}", "figures"}, "names stay"


def test_no_results_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--results", str(tmp_path / "absent")]) == 1
    assert "There are no results in" in capsys.readouterr().err
    (tmp_path / "runs" / ("a" * 16)).mkdir(parents=True)
    with pytest.raises(UserError, match=r"can be told what it is.*run\.json cannot be read"):
        publish.publish(tmp_path)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, drawn: list[str]) -> None:
    two_cells(tmp_path)
    (tmp_path / "tables").write_text("a file in the way")
    with pytest.raises(UserError, match="cannot be written"):
        publish.publish(tmp_path)


def test_the_command_says_where_everything_is(
    tmp_path: Path, drawn: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    two_cells(tmp_path)
    assert main(["--results", str(tmp_path), "--force"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{tmp_path}/: claims (.json), runs (.csv)"
    assert lines[1] == (
        f"{tmp_path}/tables/: claims (.csv .html .md .tex), gains (.csv), table1 (.csv .html .md .tex), "
        "table2 (.csv .html .md .tex), table3 (.csv .html .md .tex)"
    )
    assert lines[-1] == f"report: {tmp_path}/report.html"
    assert lines[2].startswith(f"{tmp_path}/figures/: change_by_groups (.png .svg), change_by_groups-column (.svg), ")


def test_tables_come_first_where_there_may_be_no_time_for_more(tmp_path, monkeypatch):
    """With the costs that are known, here none; publishing then writes them again with all of them."""
    fixture.plausible(tmp_path, seeds=1)
    monkeypatch.setattr("analysis.runs.macs._measure", lambda subjects: pytest.fail("there is no time to measure"))
    publish.tables_first(tmp_path)
    table = pd.read_csv(tmp_path / "tables" / "table2.csv")
    assert table["error_mean"].notna().all() and table["macs"].isna().all()
    assert not (tmp_path / "figures").exists() and not (tmp_path / publish.STAMP).exists()
    monkeypatch.setattr("analysis.runs.macs._measure", fixture.cheap_costs)
    publish.publish(tmp_path)
    assert pd.read_csv(tmp_path / "tables" / "table2.csv")["macs"].notna().all()


def test_text_that_is_no_utf8_is_escaped_in_tables_and_page(tmp_path: Path, drawn: list[str]) -> None:
    """A folder name in Latin-1, in the command of a plan, in provenance and in a failure."""
    two_cells(tmp_path)
    latin1 = os.fsdecode(b"caf\xe9")
    fixture.write_failure(tmp_path, fixture.run(3, 0.25), error=f"{latin1} is not there")
    for path in [*tmp_path.glob("plans/*.json"), *tmp_path.glob("runs/*/provenance.json")]:
        path.write_text(json.dumps({**json.loads(path.read_text()), "command": f"python -m ablations {latin1}"}))
    written = publish.publish(tmp_path)
    texts = {path.name: path.read_text(encoding="utf-8") for path in written if path.suffix not in (".svg", ".png")}
    assert "caf\\udce9" in texts["report.html"] and "udce9" in texts["table2.md"]


def test_results_moved_away_while_they_are_published_are_not_made_anew(
    tmp_path: Path, drawn: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "results"
    two_cells(results)

    def moves(subjects: list[macs.Subject]) -> list[dict[str, int] | None]:
        results.rename(tmp_path / "elsewhere")
        return fixture.cheap_costs(subjects)

    monkeypatch.setattr(macs, "_measure", moves)
    with pytest.raises(UserError, match="removed, renamed or unmounted"):
        publish.publish(results)
    assert not results.exists()
