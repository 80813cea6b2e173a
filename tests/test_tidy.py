"""Results as tables of pandas, as the docstring of `load` says."""

import doctest
import json
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pytest

import analysis
from ablations.core.errors import UserError
from ablations.core.paths import REFERENCE
from analysis import publish, tidy
from tests import results_fixture as fixture
from tests.studies.test_any_study import smoothing

pytestmark = pytest.mark.usefixtures("made_up_costs")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """g=3 and g=8 at 0.25x, two seeds, done; g=1 planned."""
    runs = [fixture.run(groups, 0.25, seed=seed) for groups in (3, 8) for seed in (0, 1)]
    fixture.write_plan(tmp_path, "groups", [*runs, fixture.run(1, 0.25)])
    for one in runs:
        fixture.write_done(tmp_path, one, 0.3 + one.seed / 100)
    return tmp_path


def test_the_example_is_true(results: Path) -> None:
    done = fixture.run(3, 0.25)
    (results / "runs" / done.run_id / "metrics.csv").write_text("epoch,test_error\n1,0.5\n2,0.3\n")
    finder = doctest.DocTestFinder()
    (example,) = finder.find(tidy.load, "load", globs={"load": analysis.load, "results": str(results)})
    runner = doctest.DocTestRunner()
    runner.run(example)
    assert runner.summarize(verbose=False).failed == 0 and runner.tries > 5
    curves = analysis.load(results)[lambda runs: runs.seed == 0].curves
    assert curves[curves.run_id == done.run_id].test_error.tolist() == [50.0, 30.0]
    assert curves.structure.tolist() == ["shufflenet"] * len(curves) and "stem_channels" in curves


def test_a_run_that_is_planned_has_its_recipe_and_no_error(results: Path) -> None:
    runs = analysis.load(results)
    (row,) = runs[runs.groups == 1].itertuples()
    assert row.state == "planned" and row.error != row.error and row.lr > 0
    assert Path(row.path).parent == results / "runs"


def test_recipe_and_kernels_are_columns_also_beside_a_run_that_cannot_be_read(results: Path) -> None:
    done = fixture.run(3, 0.25)
    path = results / "runs" / done.run_id / "provenance.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "kernels": "native avx2"}))
    (results / "runs" / ("a" * 16)).mkdir()
    runs = analysis.load(results).set_index("run_id")
    recipe = asdict(fixture.RECIPE)
    assert runs.loc[done.run_id, list(recipe)].to_dict() == recipe
    assert runs.loc[done.run_id, "kernels"] == "native avx2" and runs.kernels.notna().sum() == 1
    assert runs.loc["a" * 16, list(recipe)].isna().all() and runs.loc["a" * 16, "state"] == "damaged"


def test_a_folder_or_table_that_is_not_there_is_named(results: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        analysis.load("nowhere")
    with pytest.raises(UserError, match=r"neither runs/ nor plans/.*analysis\.reference unpack .*cifar10 FOLDER"):
        analysis.load(REFERENCE / "cifar10")
    with pytest.raises(ValueError, match="'depth': choose one of groups, shuffle"):
        analysis.load(results).table("depth")


def test_the_table_as_a_file_says_the_same(results: Path) -> None:
    publish.publish(results)
    file, runs = pd.read_csv(results / "runs.csv"), analysis.load(results)
    assert file.columns.tolist() == runs.columns.tolist() and file.run_id.tolist() == runs.run_id.tolist()
    assert file.error.dropna().tolist() == [30, 31, 30, 31] and file.lr.tolist() == [0.2] * 5
    assert [results / path for path in file.path] == [Path(path) for path in runs.path]
    assert str(results) not in (results / "runs.csv").read_text()


def test_a_study_of_the_users_has_its_table_and_verdicts(tmp_path: Path) -> None:
    smoothing(tmp_path)
    runs = analysis.load(tmp_path)
    assert runs.table("smoothing").error_mean.round(2).tolist() == [30.1, 29.6, 30.1, 25.1]
    assert set(runs.verdicts.study) == {"smoothing"}
