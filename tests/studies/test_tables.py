"""Tables 1 to 3 from small synthetic results, compared to the letter."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from ablations.core.errors import UserError
from ablations.core.run_spec import Protocol
from analysis import publish
from analysis.reference.pack import gather
from analysis.runs import frame
from analysis.studies import assemble, grids, places, render
from analysis.studies.assemble import Section
from analysis.studies.figures import curves, panels
from tests import results_fixture as fixture

UNPLANNED = """\
groups,1.0,1,True,24000001,100010,,,,0,0,0,33.6,not planned
groups,1.0,2,True,24000002,100010,,,,0,0,0,32.7,not planned
groups,1.0,3,True,24000003,100010,,,,0,0,0,32.6,not planned
groups,1.0,4,True,24000004,100010,,,,0,0,0,32.8,not planned
groups,1.0,8,True,24000008,100010,,,,0,0,0,32.4,not planned
groups,0.5,1,True,12000001,50010,,,,0,0,0,45.1,not planned
groups,0.5,2,True,12000002,50010,,,,0,0,0,44.4,not planned
groups,0.5,3,True,12000003,50010,,,,0,0,0,43.2,not planned
groups,0.5,4,True,12000004,50010,,,,0,0,0,41.6,not planned
groups,0.5,8,True,12000008,50010,,,,0,0,0,42.3,not planned
"""
TABLE_2_CSV = f"""\
study,width,groups,shuffle,macs,params,error_mean,error_low,error_high,seeds_done,seeds_planned,seeds_failed,paper_error,state
{UNPLANNED}\
groups,0.25,1,True,6000001,25010,41.0,36.79,45.21,2,2,0,57.1,2 of 2 seeds
groups,0.25,2,True,6000002,25010,40.0,35.79,44.21,2,2,0,56.8,2 of 2 seeds
groups,0.25,3,True,6000003,25010,39.0,33.0462,44.9538,1,2,1,55.0,"1 of 2 seeds, 1 diverged"
groups,0.25,4,True,6000004,25010,,,,0,2,1,54.2,"0 of 2 seeds, 1 failed, 1 damaged"
groups,0.25,8,True,6000008,25010,36.5,32.29,40.71,2,2,0,52.7,2 of 2 seeds
"""
TABLE_2_MARKDOWN = """\
# Number of groups

## Table 2. Top-1 error (%) against number of groups: glyphs 24×24, 2,000 training images, 8 epochs

| Network |  | MACs (M) | g=1 | g=2 | g=3 | g=4 | g=8 |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| ShuffleNet 1x | ours | 24.0 | not planned | not planned | not planned | not planned | not planned |
| ShuffleNet 1x | paper | 140 | 33.6 | 32.7 | 32.6 | 32.8 | 32.4 |
| ShuffleNet 0.5x | ours | 12.0 | not planned | not planned | not planned | not planned | not planned |
| ShuffleNet 0.5x | paper | 38 | 45.1 | 44.4 | 43.2 | 41.6 | 42.3 |
| ShuffleNet 0.25x | ours | 6.0 | 41.0 [36.8, 45.2]<br>2 of 2 seeds | 40.0 [35.8, 44.2]<br>2 of 2 seeds \
| 39.0 [33.0, 45.0]<br>1 of 2 seeds, 1 diverged | 0 of 2 seeds, 1 failed, 1 damaged \
| 36.5 [32.3, 40.7]<br>2 of 2 seeds |
| ShuffleNet 0.25x | paper | 13 | 57.1 | 56.8 | 55.0 | 54.2 | 52.7 |

glyphs: 10 classes, 2,000 grey training images at 24×24, 8 epochs, stride2 stem, float32; top-1 error of the last \
epoch on 1,000 test images; 0 to 2 of 2 planned seeds a cell (preset quick, protocol {protocol}).

Demonstration on drawn characters: it says nothing about ImageNet. Next: make ablations PRESET=cifar10-short

Brackets over several seeds: 95 % t interval, standard deviation pooled over all cells of one width; it says what \
other seeds would give on the same test images.

Standard deviation between seeds in points: 0.25x 1.87 (df 3).

Cells marked “not planned” were left out of the sweep; the grid is the paper's.

0.25x g=3, seed 1: diverged: the loss is not finite

0.25x g=4, seed 0: failed: out of memory

0.25x g=4, seed 1: damaged: runs/{damaged}/result.json is cut short or not this run's, so it counts as not done.

Trained on Test CPU.

Code at commit cccccccccc.

Paper: arXiv 1707.01083, ImageNet 2012 validation, single 224x224 centre crop. It gives no seeds and no intervals.
"""
TABLE_3_MARKDOWN = """\
| Network | No shuffle, ours | Shuffle, ours | Δ (points), ours | No shuffle, paper | Shuffle, paper \
| Δ (points), paper |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
| ShuffleNet 1x (g=3) | not planned | not planned | – | 34.5 | 32.6 | 1.9 |
| ShuffleNet 1x (g=8) | not planned | not planned | – | 37.6 | 32.4 | 5.2 |
| ShuffleNet 0.5x (g=3) | not planned | not planned | – | 45.7 | 43.2 | 2.5 |
| ShuffleNet 0.5x (g=8) | not planned | not planned | – | 48.1 | 42.3 | 5.8 |
| ShuffleNet 0.25x (g=3) | 40.0 [37.0, 43.1]‡<br>1 of 1 seed | 36.0 [33.1, 39.0]‡<br>1 of 1 seed \
| +4.0 [2.8, 5.2]‡<br>1 seed | 56.3 | 55.0 | 1.3 |
| ShuffleNet 0.25x (g=8) | not run, 1 planned | 38.0 [35.0, 41.0]‡<br>1 of 1 seed | – | 56.5 | 52.7 | 3.8 |
"""


pytestmark = pytest.mark.usefixtures("made_up_costs")


def sections(study: str, results: Path) -> list[Section]:
    return assemble.sections(study, frame.runs(results), results)


def half_done(results: Path) -> None:
    """Table 2 at 0.25x with two seeds, of which four of g = 3 and 4 came to nothing in three ways."""
    errors = {1: (0.40, 0.42), 2: (0.38, 0.42), 3: (0.39,), 4: (), 8: (0.36, 0.37)}
    runs = fixture.grid("groups", [0, 1], widths=[0.25])
    fixture.write_plan(results, "groups", runs)
    for one in runs:
        done = errors[one.variant.axes["groups"]]
        if one.seed < len(done):
            fixture.write_done(results, one, done[one.seed])
    fixture.write_failure(results, fixture.run(3, 0.25, seed=1), "diverged", "the loss is not finite")
    fixture.write_failure(results, fixture.run(4, 0.25), "failed", "out of memory")
    (fixture.begin(results, fixture.run(4, 0.25, seed=1)) / "result.json").write_text('{"schema": 1, "run_id"')


def test_table_2_to_the_letter(tmp_path: Path) -> None:
    half_done(tmp_path)
    (section,) = sections("groups", tmp_path)
    assert section.cells.iloc[:, :14].to_csv(index=False) == TABLE_2_CSV
    known = {"protocol": section.protocol_id, "damaged": fixture.run(4, 0.25, seed=1).run_id}
    text = render.markdown("Number of groups", [grids.pivot(section)])
    assert text == TABLE_2_MARKDOWN.format(**known)


def test_table_3_to_the_letter(tmp_path: Path) -> None:
    runs = fixture.grid("shuffle", [0], widths=[0.25])
    fixture.write_plan(tmp_path, "shuffle", runs)
    for groups, shuffle, error in ((3, False, 0.40), (3, True, 0.36), (8, True, 0.38)):
        fixture.write_done(tmp_path, fixture.run(groups, 0.25, shuffle), error)
    (section,) = sections("shuffle", tmp_path)
    text = render.markdown("Channel shuffle", [grids.pivot(section)])
    assert TABLE_3_MARKDOWN in text
    assert "one seed, 95 % interval from its test images alone; run-to-run variation is not covered." in text
    assert "1 planned run not done yet" in text
    assert len(section.cells) == 12 and len(section.gains) == 6
    assert section.cells["shuffle"].tolist() == [False, True] * 6


def test_a_run_of_the_groups_study_serves_the_shuffle_table(tmp_path: Path) -> None:
    half_done(tmp_path)
    (section,) = sections("shuffle", tmp_path)
    shared = section.cells.query("width == 0.25 and shuffle").set_index("groups")
    assert shared["seeds_done"].to_dict() == {3: 1, 8: 2}
    assert any("make ablation-shuffle PRESET=quick trains the rest" in note for note in section.notes)


def test_protocols_do_not_mix(tmp_path: Path) -> None:
    old, new = fixture.protocol(epochs=8), fixture.protocol(epochs=20)
    for under, day, error in ((old, 1, 0.30), (new, 2, 0.20)):
        fixture.write_plan(tmp_path, "groups", fixture.grid("groups", [0], under, [0.25]), day=day)
        fixture.write_done(tmp_path, fixture.run(3, 0.25, under=under), error)
    newest, oldest = sections("groups", tmp_path)
    assert [newest.title.endswith("20 epochs"), oldest.title.endswith("8 epochs")] == [True, True]
    for section, error in ((newest, 20.0), (oldest, 30.0)):
        done = section.cells[section.cells["seeds_done"] > 0]
        assert done["error_mean"].tolist() == [error] and set(section.cells["protocol_id"]) == {section.protocol_id}
    together = assemble.combined([newest, oldest], "cells")
    assert together.groupby("protocol_id")["protocol"].first().to_dict() == {
        newest.protocol_id: "20 epochs",
        oldest.protocol_id: "8 epochs",
    }


def test_a_folder_of_one_epoch_says_so_once(tmp_path: Path) -> None:
    for epochs in (1, 20):
        one = fixture.run(3, 0.25, under=fixture.protocol(epochs))
        fixture.write_plan(tmp_path, "groups", [one], day=epochs)
        fixture.write_done(tmp_path, one, 0.3)
    found = places.named(tmp_path, assemble.sections_by_scope([sections("groups", tmp_path)]))
    assert [name[:-5] for name in found.names.values()] == ["glyphs-1ep", "glyphs-20ep"]


def test_whatever_else_was_run_is_shown(tmp_path: Path) -> None:
    extra = {
        "ShuffleNet 1.5x": fixture.run(3, 1.5),
        "blog variant 0.25x": fixture.run(3, 0.25, structure="blog"),
        "ShuffleNet 0.5x, stem 24": fixture.run(8, 0.5, stem_channels=24),
    }
    for one in extra.values():
        fixture.write_done(tmp_path, one, 0.25)
    (section,) = sections("groups", tmp_path)
    shown = {grids.row_name(row): row for _, row in section.cells.iterrows() if row["seeds_done"]}
    assert shown.keys() == extra.keys()
    assert pd.isna(shown["blog variant 0.25x"]["paper_error"])
    assert len(section.cells) == 15 + 2, "the cell with a stem of its own stands in for the grid's"
    names = grids.pivot(section).frame["Network"].tolist()
    assert names[0] == "ShuffleNet 1.5x" and names[-1] == "blog variant 0.25x"


def test_both_arms_of_an_extra_cell_are_shown(tmp_path: Path) -> None:
    fixture.write_done(tmp_path, fixture.run(4, 0.5, shuffle=False), 0.25)
    (section,) = sections("shuffle", tmp_path)
    arms = section.cells.query("groups == 4")
    assert arms["state"].tolist() == ["1 of 1 seed", "not planned"]


def test_seeds_outside_the_latest_plan_count(tmp_path: Path) -> None:
    fixture.write_plan(tmp_path, "groups", [fixture.run(3, 0.25, seed=0)])
    for seed in (0, 1, 2):
        fixture.write_done(tmp_path, fixture.run(3, 0.25, seed=seed), 0.3 + seed / 100)
    (section,) = sections("groups", tmp_path)
    row = section.cells.query("width == 0.25 and groups == 3").iloc[0]
    assert (row["seeds_done"], row["seeds_planned"], row["seeds"]) == (3, 3, "0 1 2")


def test_runs_that_nothing_describes_are_named(tmp_path: Path) -> None:
    fixture.write_done(tmp_path, fixture.run(3, 0.25), 0.3)
    (tmp_path / "runs" / ("f" * 16)).mkdir()
    (section,) = sections("groups", tmp_path)
    assert any("f" * 16 in note for note in section.notes)


def test_different_commits_are_told(tmp_path: Path) -> None:
    for seed, commit in enumerate(("a" * 40, "b" * 40)):
        fixture.write_done(tmp_path, fixture.run(3, 0.25, seed=seed), 0.3, commit=commit, dirty=bool(seed))
    (section,) = sections("groups", tmp_path)
    assert "Runs come from 2 commits: aaaaaaaaaa, bbbbbbbbbb." in section.notes
    assert "1 run trained with uncommitted changes." in section.notes


def test_table_1_names_the_papers_numbers(tmp_path: Path) -> None:
    table = assemble.table1(tmp_path)
    lines = table.to_csv(index=False).splitlines()
    assert lines[0] == ",".join(assemble.TABLE_1_COLUMNS)
    assert lines[1] == "shufflenet,2.0,3,448000000,448000003,201000,524000000,Table 5,48"
    assert lines[5] == "shufflenet,1.0,3,224000000,224000003,101000,137000000,Table 1,24"
    assert lines[-1] == "blog,1.0,8,224000000,224000008,101000,137000000,Table 1,24"
    assert len(table) == 22
    grid = grids.complexity_grid(table)
    assert grid.frame.iloc[2].tolist() == ["ShuffleNet 1x", "1", "224.00", "224.00", "101,000", "143", "Table 1"]


def smoothed(value: float) -> Protocol:
    return replace(fixture.PROTOCOL, recipe=replace(fixture.RECIPE, label_smoothing=value))


def test_protocols_that_look_alike_are_told_apart_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (0.0, 0.1):
        fixture.plausible(tmp_path, seeds=2, under=smoothed(value))
    monkeypatch.setattr(publish, "_draw", fixture.undrawn)
    publish.publish(tmp_path)
    words = {
        fixture.run(3, 0.25, under=smoothed(value)).protocol_id: f"label smoothing {value:g}" for value in (0.0, 0.1)
    }
    for study in ("groups", "shuffle"):
        for section in sections(study, tmp_path):
            apart = words[section.protocol_id]
            assert section.title == f"glyphs 24×24, 2,000 training images, 8 epochs, {apart}"
            assert f"float32, {apart}; top-1 error" in section.scope and section.protocol == apart
            assert all(apart in verdict.scope for verdict in section.verdicts)
    for name in ("table2", "table3", "gains", "claims"):
        of_each = [pd.read_csv(path) for path in (tmp_path / "tables").glob(f"*/{name}.csv")]
        assert len(of_each) == 2 and all(table.columns[-1] == "protocol" for table in of_each)
        assert pd.concat(of_each).groupby("protocol_id")["protocol"].first().to_dict() == words, name
        assert pd.read_csv(tmp_path / "tables" / f"{name}.csv")["protocol_id"].nunique() == 1, "the first one's"
    assert all(text in (tmp_path / "report.html").read_text() for text in words.values())
    with pytest.raises(UserError, match=r"label smoothing 0\).*label smoothing 0\.1\)|0\.1\).*smoothing 0\)"):
        gather(tmp_path)


def test_a_single_protocol_has_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    half_done(tmp_path)
    monkeypatch.setattr(publish, "_draw", fixture.undrawn)
    publish.publish(tmp_path)
    for name in ("table2", "table3", "gains", "claims"):
        assert "protocol" not in pd.read_csv(tmp_path / "tables" / f"{name}.csv").columns
    assert '"protocol":' not in (tmp_path / "claims.json").read_text()


def rows_of(results: Path) -> dict[str, list[str]]:
    """Rows of Table 2 at 0.25x, as trained: error or word by number of groups."""
    (section,) = sections("groups", results)
    shown = grids.pivot(section).frame
    ours = shown[(shown[""] == "ours") & shown["Network"].str.contains("0.25x")]
    return {row[0]: [cell.split(" [")[0].split("\n")[0] for cell in row[3:]] for row in ours.itertuples(index=False)}


NONE = "not planned"


@pytest.mark.parametrize(
    ("trained", "expected"),
    [
        ([(g, 24) for g in (1, 2, 3, 4, 8)], {", stem 24": ["25.0", "26.0", "27.0", "28.0", "32.0"]}),
        ([(8, 8), (8, 16)], {"": [*[NONE] * 4, "16.0"], ", stem 16": ["", "", "", "", "24.0"]}),
        ([(8, 16)], {"": [*[NONE] * 4, "see stem 16"], ", stem 16": ["", "", "", "", "24.0"]}),
        (
            [(g, stem) for g in (1, 2, 4, 8) for stem in (8, 16)],
            {
                "": [*["see stem 8 and 16"] * 2, NONE, "see stem 8 and 16", "16.0"],
                ", stem 8": ["9.0", "10.0", "", "12.0", "16.0"],
                ", stem 16": ["17.0", "18.0", "", "20.0", "24.0"],
            },
        ),
    ],
)
def test_stems_that_are_not_the_default_have_rows_that_say_so(
    tmp_path: Path, trained: list[tuple[int, int]], expected: dict[str, list[str]]
) -> None:
    for groups, stem in trained:
        fixture.write_done(tmp_path, fixture.run(groups, 0.25, stem_channels=stem), (groups + stem) / 100)
    assert rows_of(tmp_path) == {f"ShuffleNet 0.25x{name}": cells for name, cells in expected.items()}
    (section,) = sections("groups", tmp_path)
    for figure in (panels.error_by_axis(section), panels.error_by_macs(section)):
        names = {text.get_text() for text in figure.legends[0].get_texts()}
        assert {f"0.25x{name}" for name in expected} <= names
    titles = {axes.get_title() for axes in curves.curves(section.runs, tmp_path, "").axes}
    assert {f"0.25x{name}, g=8" for name in expected if name} <= titles


def test_claims_name_the_stem_that_stands_for_a_cell(tmp_path: Path) -> None:
    fixture.write_done(tmp_path, fixture.run(8, 0.25, stem_channels=16), 0.3)
    fixture.write_done(tmp_path, fixture.run(1, 0.25), 0.3)
    (section,) = sections("groups", tmp_path)
    (verdict,) = (one for one in section.verdicts if one.claim == "eight-groups-help-0.25x")
    assert [name for _, name in verdict.cells] == ["0.25x g=1", "0.25x g=8, stem 16"]


def test_a_study_whose_name_begins_with_anothers_is_another(tmp_path: Path) -> None:
    fixture.write_plan(tmp_path, "groups", [fixture.run(8, 0.25)])
    fixture.write_plan(tmp_path, "shuffle-se", [fixture.run(8, 0.25), fixture.run(4, 0.25)], day=2)
    (section,) = sections("shuffle", tmp_path)
    assert 4 not in set(section.cells["groups"])
    assert any("The shuffle study has not been planned under this protocol" in note for note in section.notes)
    (section,) = sections("groups", tmp_path)
    assert not any("has not been planned" in note for note in section.notes)
