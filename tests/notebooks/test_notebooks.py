"""The notebooks execute on a results folder, from anywhere, in the Python that asks for it."""

import re
from pathlib import Path

import nbformat
import pytest

from analysis import publish
from analysis.notebooks import execute, show
from analysis.runs import macs
from tests import results_fixture as fixture
from tests.studies.test_any_study import smoothing


def test_notebooks_execute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    # A kernel of the user's that would fail, and a working directory that is not the project's.
    stale = tmp_path / "jupyter" / "kernels" / "python3"
    stale.mkdir(parents=True)
    (stale / "kernel.json").write_text('{"argv": ["/nowhere/python"], "display_name": "stale", "language": "python"}')
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.chdir(tmp_path)
    fixture.plausible(Path("results"), seeds=1)
    with monkeypatch.context() as patch:  # the kernels find these costs, and need no torch
        patch.setattr(macs, "_measure", fixture.cheap_costs)
        patch.setattr(publish, "_draw", lambda *_: {})
        publish.publish(Path("results"))
    assert execute.main([]) == 0
    written = capsys.readouterr().out.split()
    assert written == [
        f"results/notebooks/{name}.{form}" for name in ("groups", "shuffle") for form in ("ipynb", "html")
    ]
    shows = (
        ("groups", "Table 2. Top-1 error", 4),
        ("shuffle", "Table 3. Top-1 error", 2),
    )
    for name, table, figures in shows:
        notebook = nbformat.read(f"results/notebooks/{name}.ipynb", as_version=4)
        nbformat.validate(notebook)
        outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
        shown = "".join(output["data"].get("text/html", "") for output in outputs)
        assert table in shown and shown.count("data:image/png") == figures
        assert not any(output["output_type"] in ("stream", "error") for output in outputs)
        page = Path(f"results/notebooks/{name}.html").read_text()
        assert table in page and page.count("data:image/png") >= figures
        # Links may lead elsewhere; nothing is loaded, by an element, a style or a script.
        assert "<script" not in page and not re.findall(
            r"""<(?!a\b)[^>]*\b(?:src|href)=["']?(?:https?:)?//[^>]*""", page
        )
        assert not re.findall(r"""url\(["']?(?:https?:)?//|@import""", page)


def test_a_study_of_the_users_has_a_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smoothing(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(macs, "_measure", fixture.cheap_costs)
        patch.setattr(publish, "_draw", lambda *_: {})
        publish.publish(tmp_path)
    written = execute.execute(tmp_path)
    assert [path.name for path in written] == ["smoothing.ipynb", "smoothing.html"]
    notebook = nbformat.read(written[0], as_version=4)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    shown = "".join(output["data"].get("text/html", "") for output in outputs)
    assert "At 0.25x, it helps." in shown and "Label smoothing" in shown and shown.count("data:image/png") == 4
    assert not any(output["output_type"] in ("stream", "error") for output in outputs)


def test_the_tour_of_a_committed_study_executes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Colab runs it, but for the clone: nothing is trained, and the folder of results does not matter."""
    monkeypatch.setattr(execute, "NOTEBOOK", execute.NOTEBOOK.with_name("tour.ipynb"))
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans" / "any").touch()
    monkeypatch.setattr(execute, "_studies", lambda results: ["tour"])
    notebook = nbformat.read(execute.execute(tmp_path)[0], as_version=4)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    shown = "".join(output["data"].get("text/html", "") for output in outputs)
    assert 'class="dataframe"' in shown and shown.count("data:image/png") == 2
    assert not any(output["output_type"] in ("stream", "error") for output in outputs)


def test_a_failing_cell_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.py").write_text("# %%\nraise KeyError('no such column')\n")
    monkeypatch.setattr(execute, "NOTEBOOK", tmp_path / "broken.py")
    fixture.begin(tmp_path, fixture.run(3, 0.25))
    monkeypatch.setattr(execute, "_studies", lambda results: ["broken"])
    with pytest.raises(execute.UserError, match=r"Notebook broken failed: KeyError.*no such column"):
        execute.execute(tmp_path)
    assert not (tmp_path / "notebooks").exists()


def test_no_results_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute.main(["--results", str(tmp_path)]) == 1
    assert "There are no results in" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_told_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(execute, "_run", lambda *_: pytest.fail("a notebook was executed"))
    fixture.begin(tmp_path, fixture.run(3, 0.25))
    (tmp_path / "notebooks").touch()
    assert execute.main(["--results", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said == f"error: Notebooks cannot be written to {tmp_path / 'notebooks'} (Not a directory).\n"


def test_the_results_folder_starts_at_the_project(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RESULTS_DIR", raising=False)
    assert show.results_folder() == show.ROOT / "results"
    monkeypatch.setenv("RESULTS_DIR", str(tmp_path))
    assert show.results_folder() == tmp_path
