"""Studies that the code has never seen: a recipe axis and an axis of the network, from plans that define them."""

import html
import itertools
import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from ablations.core.errors import UserError
from ablations.core.paths import CONF
from ablations.core.run_spec import Axes, Run, Variant
from ablations.store.plans import PlannedRun, read_plans, write_plans
from analysis.explain.commands import main as explain
from analysis.publish import publish
from analysis.reference.commands import check_study, pack_study
from analysis.report import drilldown, folds
from analysis.runs import frame
from analysis.runs.study import parse, studies
from analysis.studies import assemble, grids
from analysis.studies.assemble import Section
from analysis.studies.figures import curves, panels
from model.family import Input, load
from tests import make
from tests import results_fixture as fixture

CLAIM = {"says": "At {width}, it helps.", "for": {"width": [0.25, 0.5]}, "margin": 0.5}

SMOOTHING = {
    "study": "smoothing",
    "title": "Label smoothing",
    "axes": ["model.width", "recipe.label_smoothing"],
    "defaults": {"model.structure": "shufflenet", "model.width": 1.0, "recipe.label_smoothing": 0.0},
    "table": {
        "rows": ["model.width"],
        "columns": ["recipe.label_smoothing"],
        "gain": {"axis": "recipe.label_smoothing", "from": 0.0, "to": 0.1},
        "pool": ["model.width"],
    },
    "figures": ["error_by_axis", "gain", "error_by_macs"],
    "claims": [{"id": "smooth", **CLAIM, "gain": {"from": {}, "to": {"label_smoothing": 0.1}}}],
    "published": [
        {"cell": {"model.width": 0.5, "recipe.label_smoothing": 0.0}, "error": 30.0, "table": "Table 7", "column": "0"},
        {
            "cell": {"model.width": 0.5, "recipe.label_smoothing": 0.1},
            "error": 28.5,
            "table": "Table 7",
            "column": "0.1",
        },
    ],
}

SE = {
    "study": "blocks",
    "title": "SE blocks",
    "axes": ["model.width", "model.se"],
    "defaults": {"model.structure": "shufflenet", "model.width": 1.0, "model.groups": 3, "model.se": False},
    "table": {"rows": ["model.width"], "columns": ["model.se"], "pool": ["model.width"]},
    "figures": ["error_by_axis", "error_by_macs"],
    "claims": [{"id": "se", **CLAIM, "gain": {"from": {"se": False}, "to": {"se": True}}}],
}


def smoothing(results: Path) -> list[Run]:
    """Half a point is gained at 0.5x, five at 0.25x; a run failed."""
    jobs = []
    for width in (0.25, 0.5):
        for value in (0.0, 0.1):
            under = replace(fixture.PROTOCOL, recipe=replace(fixture.RECIPE, label_smoothing=value))
            for seed in range(3):
                run = fixture.run(3, width, seed=seed, under=under)
                jobs.append(
                    PlannedRun("smoothing", "quick", run, "5c0be" + "0" * 11, {"recipe.label_smoothing": value})
                )
                error = 0.3 + 0.001 * seed - (0.05 if width == 0.25 else 0.005) * (value > 0)
                fixture.write_done(results, run, error)
    write_plans(jobs, results, "python -m ablations", {"smoothing": SMOOTHING})
    return [job.run for job in jobs]


def blocks(results: Path) -> None:
    jobs = []
    for width in (0.25, 0.5):
        for se in (False, True):
            for seed in range(2):
                one = fixture.run(3, width, seed=seed)
                one = replace(one, variant=one.variant.with_axes(se=True)) if se else one
                jobs.append(PlannedRun("blocks", "quick", one))
                fixture.write_done(results, one, 0.3 + 0.001 * seed - 0.04 * se)
    write_plans(jobs, results, "python -m ablations", {"blocks": SE})


@pytest.fixture(scope="module")
def smoothed(tmp_path_factory) -> Path:
    results = tmp_path_factory.mktemp("smoothing")
    smoothing(results)
    publish(results)
    return results


@pytest.fixture(scope="module", autouse=True)
def cheap():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("analysis.runs.macs._measure", fixture.cheap_costs)
        yield


def verdicts(results: Path) -> dict[str, str]:
    return {one["claim"]: one["verdict"] for one in json.loads((results / "claims.json").read_text())["claims"]}


def sections_of(results: Path) -> list[Section]:
    """Of the one study of a folder."""
    runs = frame.runs(results)
    (study,) = studies(read_plans(results), runs["planned_by"])
    return assemble.sections(study, runs, results)


def test_a_figure_has_a_row_for_each_cell_and_the_papers_beside_it(smoothed):
    (section,) = sections_of(smoothed)
    here, theirs = panels.error_by_cell(section).axes
    assert [label.get_text() for label in here.get_yticklabels()][::-1] == [
        *("ShuffleNet 0.5x, label smoothing 0", "ShuffleNet 0.5x, label smoothing 0.1"),
        *("ShuffleNet 0.25x, label smoothing 0", "ShuffleNet 0.25x, label smoothing 0.1"),
    ]
    assert here.lines[0].get_xdata()[::-1] == pytest.approx([30.1, 29.6, 30.1, 25.1])
    assert theirs.lines[0].get_xdata()[::-1][:2].tolist() == [30.0, 28.5] and np.isnan(theirs.lines[0].get_xdata()[0])


def test_a_recipe_axis_has_a_table_with_the_papers_numbers_beside_ours(smoothed):
    table = pd.read_csv(smoothed / "tables" / "smoothing.csv")
    assert table["recipe.label_smoothing"].tolist() == [0.0, 0.1, 0.0, 0.1] and table["seeds_done"].tolist() == [3] * 4
    assert table["error_mean"].round(2).tolist() == [30.1, 29.6, 30.1, 25.1]
    gains = pd.read_csv(smoothed / "tables" / "gains.csv").set_index("width")
    assert gains.loc[0.5, "paper_gain"] == 1.5 and gains.loc[0.25, "gain"] == pytest.approx(5)
    text = (smoothed / "tables" / "smoothing.md").read_text()
    assert "ShuffleNet 0.5x" in text and "Label smoothing 0.1, ours" in text and "28.5" in text
    assert not (smoothed / "tables" / "table2.csv").exists(), "its runs are of no study of the paper"


def test_its_claims_are_judged_and_its_figures_and_page_are_there(smoothed):
    assert verdicts(smoothed) == {"smooth-0.25x": "supported", "smooth-0.5x": "supported"}
    for name in ("error_by_axis", "gain", "error_by_macs"):
        assert (smoothed / "figures" / f"smoothing_{name}.svg").exists()
    page = (smoothed / "report.html").read_text()
    assert "Label smoothing" in page and "label smoothing 0.1" in page and "What label smoothing gains" in page
    assert "Table 2. Top-1" not in page and ">Do the paper’s claims hold here?<" in page, "it has a paper's numbers"


def test_costs_as_trained_have_no_column_or_table_of_dashes_alone(smoothed):
    (section,) = sections_of(smoothed)
    assert "As trained" in (smoothed / "report.html").read_text()
    known = section.cells["macs"].where(section.cells["recipe.label_smoothing"] > 0)
    (grid,) = grids.trained_grids([replace(section, cells=section.cells.assign(macs=known))])
    assert list(grid.frame.columns) == ["Network", "Label smoothing 0.1"] and len(grid.frame) == 2
    assert grids.trained_grids([replace(section, cells=section.cells.assign(macs=pd.NA))]) == []


def test_explain_finds_a_cell_by_any_axis(smoothed, capsys):
    words = ["smoothing", "--cell", "label_smoothing=0.1", "--width", "0.25", "--results", str(smoothed)]
    assert explain(words) == 0
    said = capsys.readouterr().out
    assert "25.1" in said and "label smoothing 0.1" in said and "3 of 3 seeds" in said
    assert explain(["smoothing", "--cell", "depth=3", "--results", str(smoothed)]) == 1
    assert "the axes of smoothing are width, recipe.label_smoothing" in capsys.readouterr().err


def test_other_claims_may_be_judged_on_the_same_runs(smoothed, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "- id: worse\n  study: smoothing\n  source: me\n  says: It does harm.\n  margin: 0.5\n  paper: null\n"
        "  gain: {from: {width: 0.25, label_smoothing: 0.1}, to: {width: 0.25}}\n"
    )
    publish(smoothed, claims=path)
    assert verdicts(smoothed) == {"worse": "contradicted"}
    assert "set in mine.yaml and not by the results" in (smoothed / "report.html").read_text()
    publish(smoothed)
    assert "smooth-0.25x" in verdicts(smoothed)
    assert "set in the file of the study smoothing and not by" in (smoothed / "report.html").read_text()


def test_other_claims_about_cells_that_are_not_there_are_named(smoothed, tmp_path, capsys):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "- id: wide\n  study: smoothing\n  source: me\n  says: It helps.\n  margin: 0.5\n  paper: null\n"
        "  gain: {from: {width: 2.0}, to: {width: 2.0, label_smoothing: 0.1}}\n"
    )
    publish(smoothed, claims=path)
    assert verdicts(smoothed) == {"wide": "not tested"}
    said = "warning: The claim wide of smoothing is about width 2.0, and no cell of the study has that"
    assert said in capsys.readouterr().err
    publish(smoothed)
    assert capsys.readouterr().err == ""


def test_claims_of_studies_that_are_not_there_are_refused_by_name(smoothed, tmp_path):
    path, one = (
        tmp_path / "mine.yaml",
        "  source: me\n  says: x\n  margin: 0.5\n  paper: null\n  gain: {from: {}, to: {}}\n",
    )
    path.write_text(
        f"- id: a\n  study: smoothign\n{one}- id: b\n  study: smoothing\n{one}- id: c\n  study: groups\n{one}"
    )
    with pytest.raises(
        UserError, match="line 2: studies 'smoothign', 'groups' are unknown; choose smoothing"
    ) as caught:
        publish(smoothed, claims=path)
    assert "mine.yaml" in str(caught.value)


def test_a_study_of_any_networks_has_training_curves(smoothed):
    """A panel for each cell but for the axis of the gain, whose arms share it."""
    (section,) = sections_of(smoothed)
    figure = curves.by_cell(section, smoothed)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["0.5x g=3", "0.25x g=3"]
    for axes in figure.axes:
        lines = [line for line in axes.lines if line.get_linestyle() == "-"]
        assert len(lines) == 6 and len({line.get_color() for line in lines}) == 2
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["at label smoothing 0.0", "at 0.1"]
    assert (smoothed / "figures" / "smoothing_curves.svg").exists() and not (
        smoothed / "figures" / "curves.svg"
    ).exists()
    page = (smoothed / "report.html").read_text()
    assert "Training curves: label smoothing" in page and "a panel for each cell: 12 runs of 4 cells" in page
    alone = curves.by_cell(replace(section, of=replace(section.of, gain=None)), smoothed, 3.4)
    assert sum(axes.axison for axes in alone.axes) == 4 and not alone.legends


def test_a_pack_of_it_checks(tmp_path):
    results = tmp_path / "results"
    smoothing(results)
    pack_study(results, tmp_path / "packed")
    (tmp_path / "place").mkdir()
    count, wrong = check_study(tmp_path / "packed", tmp_path / "place")
    assert not wrong and count > 10


def test_an_axis_of_the_network_that_came_later_has_its_default_where_a_run_leaves_it_out(tmp_path):
    blocks(tmp_path)
    fixture.write_plan(tmp_path, "groups", fixture.grid("groups", [0], widths=[0.25]))
    publish(tmp_path)
    table = pd.read_csv(tmp_path / "tables" / "blocks.csv")
    assert table["se"].tolist() == [False, True] * 2 and (table["seeds_done"] == 2).all()
    assert set(verdicts(tmp_path)) >= {"se-0.25x", "se-0.5x"}
    groups = pd.read_csv(tmp_path / "tables" / "table2.csv")
    assert len(groups) == 15, "cells of another study are none of Table 2"
    assert explain(["blocks", "--cell", "se=true", "width=0.25", "--results", str(tmp_path)]) == 0


def test_blocks_beside_a_gain_keep_their_rows(tmp_path):
    """The axis `se` and the standard error of a gain, which was a column of that name, are two things."""
    jobs = []
    for se, shuffle, seed in itertools.product((False, True), (False, True), (0, 1)):
        one = fixture.run(3, 0.25, shuffle, seed)
        one = replace(one, variant=one.variant.with_axes(se=True)) if se else one
        jobs.append(PlannedRun("arms", "quick", one))
        fixture.write_done(tmp_path, one, 0.3 + 0.001 * seed - 0.04 * se * shuffle)
    gain = {"axis": "model.shuffle", "from": False, "to": True}
    table = {"rows": ["model.se"], "columns": ["model.shuffle"], "gain": gain}
    definition = {**SE, "axes": ["model.se", "model.shuffle"], "table": table, "figures": ["gain"], "claims": []}
    write_plans(jobs, tmp_path, "python -m ablations", {"arms": definition})
    (section,) = sections_of(tmp_path)
    assert section.gains[["se", "gain"]].round(2).values.tolist() == [[False, 0.0], [True, 4.0]]
    shown = grids.pivot(section).frame["Ours", "Δ (points)"]
    assert [text.partition(" [")[0] for text in shown] == ["+0.0", "+4.0"]
    origins = drilldown.gains(section, drilldown.cells(tmp_path, [section]))
    assert ["standard error" in one.shown.how for one in origins] == [True, True]


def seeds_of(results: Path, name: str) -> list[str]:
    return pd.read_csv(results / "tables" / f"{name}.csv")["seeds"].astype(str).tolist()


def test_runs_of_a_cell_stay_in_its_tables_whoever_plans_them(tmp_path):
    """Planned with other seeds, by the study itself or by another that shares the cell."""
    blocks(tmp_path)
    plain = [fixture.run(3, width, seed=seed) for width in (0.25, 0.5) for seed in (2, 3)]
    for one in plain:
        fixture.write_done(tmp_path, one, 0.3)
    with_se = [replace(one, variant=one.variant.with_axes(se=True)) for one in plain]
    write_plans([PlannedRun("blocks", "quick", one) for one in (*plain, *with_se)], tmp_path, "x", {"blocks": SE})
    publish(tmp_path)
    assert seeds_of(tmp_path, "blocks") == ["0 1 2 3", "0 1"] * 2
    assert not (tmp_path / "tables" / "table2.csv").exists(), "runs of its earlier plan are none of the paper's"
    fixture.write_plan(tmp_path, "groups", [fixture.run(3, 0.25, seed=seed) for seed in (0, 4)])
    publish(tmp_path)
    table = pd.read_csv(tmp_path / "tables" / "table2.csv").set_index(["width", "groups"])
    assert table["state"].to_dict()[0.25, 3] == "4 of 5 seeds", "seed 4 is planned and not done"
    assert table["state"].to_dict()[0.5, 3] == "not planned", "a cell of another study's alone"
    assert seeds_of(tmp_path, "blocks") == ["0 1 2 3", "0 1"] * 2
    assert pd.read_csv(tmp_path / "tables" / "blocks.csv")["seeds_planned"].tolist() == [4] * 4, "seed 4 is no gap here"


def test_runs_of_a_cell_in_the_recipe_stay_too(tmp_path):
    smoothing(tmp_path)
    (plan,) = (tmp_path / "plans").glob("smoothing-*.json")
    content = json.loads(plan.read_text())
    plan.write_text(json.dumps({**content, "runs": [one for one in content["runs"] if one["seed"] == 1]}))
    publish(tmp_path)
    assert seeds_of(tmp_path, "smoothing") == ["0 1 2"] * 4 and verdicts(tmp_path)["smooth-0.25x"] == "supported"


def test_a_page_says_how_to_ask_for_one_of_its_own_numbers(tmp_path, capsys):
    """What it said was about Table 2, which the results of one's own study do not have."""
    smoothing(tmp_path)
    assert explain(["--results", str(tmp_path)]) == 0
    last = capsys.readouterr().out.rstrip().rpartition("make explain ")[2]
    command = last.partition(" (")[0]
    assert command == last and command.startswith("TABLE=smoothing CELL='width=")
    table, *cell = shlex.split(command.removeprefix("TABLE=").replace("CELL=", ""))
    assert explain([table, "--cell", *cell[0].split(), "--results", str(tmp_path)]) == 0
    publish(tmp_path)
    assert command in html.unescape((tmp_path / "report.html").read_text())


def test_a_whole_number_is_asked_for_as_one():
    defaults = {"model.groups": 3, "model.width": 1.0}
    study = parse("mixed", {"axes": list(defaults), "defaults": defaults})
    assert drilldown.asked_cell(study, pd.Series({"groups": 8.0, "width": 2.0})) == "CELL='groups=8 width=2.0'"


def test_a_study_without_a_definition_has_a_plain_table(tmp_path):
    runs = [fixture.run(groups, 0.25, seed=seed) for groups in (1, 3) for seed in (0, 1)]
    fixture.write_plan(tmp_path, "shuffle-mine", runs)
    for one in runs:
        fixture.write_done(tmp_path, one, 0.4 + 0.01 * one.seed)
    (section,) = sections_of(tmp_path)
    assert section.of.axes == ("groups",) and section.of.name == "shuffle-mine"
    publish(tmp_path)
    assert pd.read_csv(tmp_path / "tables" / "shuffle-mine.csv")["error_mean"].tolist() == [40.5, 40.5]
    assert ">Do the claims hold here?<" in (tmp_path / "report.html").read_text(), "they are not the paper's"
    assert (tmp_path / "tables" / "claims.md").read_text().startswith("# The claims\n")


def test_a_definition_that_is_none_is_a_sentence(tmp_path):
    run = make.run()
    write_plans([PlannedRun("odd", "quick", run)], tmp_path, "x", {"odd": {"axes": 3}})
    with pytest.raises(Exception, match="The plan of odd does not define a study"):
        studies(read_plans(tmp_path), ["odd"])


@pytest.mark.parametrize(("name", "table", "rows"), [("structures", "table4", 15), ("mobilenet", "table5", 10)])
def test_studies_of_several_families_have_a_table_and_verdicts(tmp_path, monkeypatch, capsys, name, table, rows):
    """Tables 4 and 5: a family lacks axes of another, and what a description leaves out is its own family's default."""
    monkeypatch.setattr("analysis.runs.macs._measure", lambda subjects: [None] * len(subjects))
    content = yaml.safe_load((CONF / "ablation" / f"{name}.yaml").read_text())
    grid = [dict(zip(one, values, strict=True)) for one in content["cells"] for values in _product(one)]
    families = {f: {f"model.{axis}": v for axis, v in load(f).defaults.items()} for f in _structures(grid)}
    files = {key: yaml.safe_load((CONF / "ablation" / content[key]).read_text()) for key in ("claims", "published")}
    axes = list(dict.fromkeys(key for one in grid for key in one))
    usual = {**families["shufflenet"], "model.structure": "shufflenet"}
    definition = {**content, **files, "axes": axes, "defaults": usual, "families": families}
    jobs = []
    for k, one in enumerate(grid):
        given = {axis.removeprefix("model."): value for axis, value in one.items()}
        family = load(given.pop("structure"))
        variant = Variant(family.name, Axes(family.settle({**family.defaults, **given}, Input(10, 1, 24, "stride2"))))
        for seed in (0, 1):
            run = Run(variant, fixture.PROTOCOL, seed)
            jobs.append(PlannedRun(name, "quick", run))
            fixture.write_done(tmp_path, run, 0.3 + 0.01 * k + 0.001 * seed)
    write_plans(jobs, tmp_path, "python -m ablations", {name: definition})
    publish(tmp_path)
    found = pd.read_csv(tmp_path / "tables" / f"{table}.csv")
    assert len(found) == rows and (found["seeds_done"] == 2).all() and found["paper_error"].notna().sum() >= rows - 2
    if name == "mobilenet":
        plain = found[(found["structure"] == "shufflenet") & ~found["se"].eq(True) & found["units"].eq("4/8/4")]
        printed = {2.0: 524e6, 1.5: 292e6, 1.0: 137e6, 0.5: 38e6}  # the last two: Tables 1 and 2 print them, too
        assert dict(zip(plain["width"], plain["paper_macs"], strict=True)) == printed
        assert found["paper_macs"].notna().sum() == len(printed)
    assert len(verdicts(tmp_path)) == len(files["claims"]) and "not planned" not in str(verdicts(tmp_path))
    assert all(one["effect"] is not None for one in json.loads((tmp_path / "claims.json").read_text())["claims"])
    costs = (tmp_path / "tables" / "table1.md").read_text()
    assert "Table 1. Complexity" in costs and "as trained" not in costs, "nothing is known of them here"
    # Networks of different structures are compared with each other: how far they differ counts as signal.
    widths = [one["model.width"] if name == "structures" else None for one in grid]
    groups = [np.array([k for k, at in enumerate(widths) if at == width], float) for width in set(widths)]
    signal = np.sqrt(sum(((one - one.mean()) ** 2).sum() for one in groups) / (len(grid) - len(groups)))
    said = re.search(r"signal and noise:.*?spread by\s+([\d.]+)", (tmp_path / "report.html").read_text())
    assert said and float(said[1]) == pytest.approx(signal, abs=0.01)
    # What the page says of a cell with many runs finds that cell, also where its network has no groups.
    cells = drilldown.cells(tmp_path, sections_of(tmp_path))
    for cell in (next(one for one in cells if one.key["structure"] != "shufflenet"), cells[0]):
        assert explain([table, *shlex.split(folds._options(cell.key)), "--results", str(tmp_path)]) == 0
        assert cell.name in capsys.readouterr().out


def _product(one):
    return itertools.product(*(value if isinstance(value, list) else [value] for value in one.values()))


def _structures(grid):
    return dict.fromkeys(one["model.structure"] for one in grid)
