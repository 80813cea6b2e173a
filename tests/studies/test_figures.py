"""Figures: the same bytes for the same results, nothing cut or overlapping, no interval where there is none."""

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import matplotlib
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pytest import approx
from scipy.stats import t

from analysis.runs import frame, macs
from analysis.runs.cell import Cell
from analysis.studies import assemble
from analysis.studies.assemble import Section
from analysis.studies.figures import curves, panels, style
from tests import results_fixture as fixture
from tests.drawn import check_texts

WIDTHS = (style.COLUMN, style.WIDE)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Both studies with two seeds, one cell missing, and networks that are not in the paper's grid."""
    folder = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(macs, "_measure", fixture.cheap_costs)
        fixture.plausible(folder, seeds=2)
        for seed in (0, 1):
            run_id = fixture.run(4, 1.0, seed=seed).run_id
            (folder / "runs" / run_id / "result.json").unlink()
        fixture.write_done(folder, fixture.run(3, 1.5), 0.12)
        fixture.write_done(folder, fixture.run(3, 0.5, structure="blog"), 0.22)
        yield folder


def section(results: Path, study: str) -> Section:
    return assemble.sections(study, frame.runs(results), results)[0]


def draw(results: Path, width: float) -> dict[str, Figure]:
    groups, shuffle = section(results, "groups"), section(results, "shuffle")
    return {
        "change": panels.change_by_axis(groups, width),
        "groups": panels.error_by_axis(groups, width),
        "macs": panels.error_by_macs(groups, width),
        "gain": panels.gain(shuffle, width),
        "curves": curves.curves(shuffle.runs, results, shuffle.title, width),
    }


def said(figure: Figure) -> str:
    """Title and subtitle."""
    return " ".join(text.get_text() for text in figure.texts).replace("\u00a0", " ")


def test_the_same_results_give_the_same_bytes(results: Path) -> None:
    first, second = draw(results, style.COLUMN), draw(results, style.COLUMN)
    for name, figure in first.items():
        assert style.svg(figure) == style.svg(second[name]), name
    assert style.png(first["gain"]) == style.png(second["gain"])
    assert b"<dc:date>" not in style.svg(first["gain"])


def test_the_users_settings_change_nothing(results: Path) -> None:
    plain = style.svg(panels.gain(section(results, "shuffle")))
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "black", "svg.hashsalt": None}):
        assert style.svg(panels.gain(section(results, "shuffle"))) == plain
        assert matplotlib.rcParams["font.size"] == 20


def test_svg_has_nothing_that_is_not_seen(results: Path) -> None:
    for name, figure in draw(results, style.COLUMN).items():
        drawn = style.svg(figure).decode()
        used = {*re.findall(r'(?:href="|url\()#([^")]+)', drawn)}
        assert used == {*re.findall(r' id="([^"]+)"', drawn)} and used, name
        assert not re.search(r"\.\d\d\d|<metadata|<style|<g>|<g/>|  ", drawn), name
        assert len(drawn) < 0.6 * len(style._save(figure, "svg")), name


def test_labels_of_svg_stay_in_their_place_whatever_font_there_is() -> None:
    with style.style():
        figure = style.figure(3, 2, "Title", "")
        axes = figure.subplots()
        axes.set(xticks=[0, 1], xticklabels=["$a_1$", "2.34567 & <b>"], xlabel="below", ylabel="beside")
        axes.set_yticks([0.5], ["end"])
    texts = re.findall(r"<text ([^>]*)>([^<]*)</text>", style.svg(figure).decode())
    anchors = {text: found[1] for look, text in texts if (found := re.search(r"text-anchor:(\w+)", look))}
    middle = ("$a_1$", "2.34567 &amp; &lt;b&gt;", "below", "beside")
    assert anchors == {**dict.fromkeys(middle, "middle"), "end": "end", "Title": "start"}


@pytest.mark.parametrize("width", WIDTHS)
def test_no_text_is_cut_or_overlaps(results: Path, width: float) -> None:
    for name, figure in draw(results, width).items():
        check_texts(figure, f"{name} at {width} in")


@pytest.mark.parametrize("width", WIDTHS)
def test_long_names_stand_above_their_panels_and_each_column_has_epochs(
    results: Path, width: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cell, "name", "0.725x g=3 no SE units 2/4/2")
    figure = curves.by_cell(section(results, "groups"), results, width)
    check_texts(figure, f"curves at {width} in")
    shown = [axes for axes in figure.axes if axes.axison]
    lowest = [axes for axes in shown if axes.get_xlabel()]
    assert len(lowest) == (5 if width >= 5 else 2) and len(shown) == 17
    assert all(axes.xaxis.get_tick_params()["labelbottom"] for axes in lowest)
    assert "text-anchor:middle" in re.findall("<text ([^>]*)>Top-1 error", style.svg(figure).decode())[0]


def test_the_papers_numbers_have_their_own_scale_unless_the_data_are_its_own(results: Path) -> None:
    ours = section(results, "groups")
    assert len(panels.error_by_axis(ours).axes) == 2
    papers = replace(ours, cells=ours.cells.assign(data="imagenet", resolution=224))
    for draw_one in (panels.error_by_axis, panels.error_by_macs):
        (axes,) = draw_one(papers).axes
        assert any(line.get_linestyle() == "--" for line in axes.get_lines())


def test_an_interval_is_drawn_only_where_there_is_one(results: Path) -> None:
    ours = section(results, "groups")
    bands = lambda s: sum(len(c.get_paths()) for c in panels.error_by_axis(s).axes[0].collections)  # noqa: E731
    without = ours.cells.assign(interval="", error_low=float("nan"), error_high=float("nan"))
    assert bands(ours) > 0 and bands(replace(ours, cells=without)) == 0


def test_subtitles_carry_the_scope(results: Path) -> None:
    text = said(panels.error_by_axis(section(results, "groups")))
    assert "glyphs 24×24, 2,000 training images, 8 epochs; 0 to 2 of 1 to 2 planned seeds." in text
    assert "run-to-run variation not covered" in text, "the extra networks have one seed"
    assert "2 seeds an arm" in said(panels.gain(section(results, "shuffle")))


def test_curves_of_no_runs_say_so(results: Path) -> None:
    none = section(results, "shuffle").runs.iloc[:0]
    figure = curves.curves(none, results, "nothing")
    assert [text.get_text() for axes in figure.axes for text in axes.texts] == ["not planned"] * 15


def lines_of(axes: Axes, dashed: bool) -> list[list[float]]:
    """Heights of the lines with markers in a panel, dashed or not."""
    lines = [line for line in axes.get_lines() if line.get_marker() in "os^"]
    return [list(line.get_ydata()) for line in lines if (line.get_linestyle() == "--") == dashed]


def test_changes_are_differences_of_cells_with_the_papers_on_one_scale(tmp_path: Path) -> None:
    for groups, error in ((1, 0.30), (2, 0.28), (8, 0.33)):
        for seed in (0, 1):
            fixture.write_done(tmp_path, fixture.run(groups, 0.5, seed=seed), error + 0.01 * seed)
    fixture.write_done(tmp_path, fixture.run(3, 0.25), 0.5)
    one = section(tmp_path, "groups")
    found = panels.changes(one).set_axis(one.cells.set_index(["width", "groups"]).index)
    assert found.loc[0.5, "change"].round(9).tolist()[:2] == [0, -2] and found.loc[(0.5, 8), "change"] == approx(3)
    assert found.loc[(0.5, 1), ["low", "high"]].isna().all() and found.loc[(0.5, 3)].isna().sum() == 3
    half = t.ppf(0.975, 3) * math.sqrt(0.5 * 2 / 2)  # three cells, each with variance 0.5 and two seeds
    assert found.loc[(0.5, 8), "high"] == approx(3 + half) and found.loc[(0.5, 8), "low"] == approx(3 - half)
    assert found.loc[0.5, "paper"].round(9).tolist() == [0, -0.7, -1.9, -3.5, -2.8]
    figure = panels.change_by_axis(one)
    (axes,) = figure.axes  # the other widths have nothing to compare
    assert axes.get_title(loc="left") == "0.5x" and "Nothing to compare yet: 0.25x. Not planned: 1x." in said(figure)
    (ours,), (papers,) = lines_of(axes, False), lines_of(axes, True)
    assert ours[1] == approx(-2) and papers[4] == approx(-2.8)


def test_all_panels_of_changes_share_one_scale(results: Path) -> None:
    panels_of = panels.change_by_axis(section(results, "groups")).axes
    assert len(panels_of) == 3 and len({axes.get_ylim() for axes in panels_of}) == 1


def test_only_what_noise_does_not_explain_is_ringed(tmp_path: Path) -> None:
    errors = {(1, 0.25): (0.40, 0.42), (2, 0.25): (0.39, 0.41), (1, 0.5): (0.20, 0.22), (2, 0.5): (0.30, 0.32)}
    for (groups, width), values in errors.items():
        for seed, error in enumerate(values):
            fixture.write_done(tmp_path, fixture.run(groups, width, seed=seed), error)
    one = section(tmp_path, "groups")
    best = one.cells.loc[panels.surely_better(one), ["width", "groups"]].values.tolist()
    assert best == [[0.5, 1]], (
        "g=2 at 0.25x is one point better than g=1, by chance; at 0.5x it costs more and is worse"
    )
    left, right = panels.error_by_macs(one).axes
    ringed = lambda axes: [line for line in axes.get_lines() if line.get_markeredgecolor() == "black"]  # noqa: E731
    assert len(ringed(left)) == 1 and not ringed(right)
    assert len(left.collections) == len(errors), "each mean has its interval"


def test_gains_have_a_row_for_each_pair_that_is_done_and_the_papers_mark_on_it(tmp_path: Path) -> None:
    for shuffle in (True, False):
        fixture.write_done(tmp_path, fixture.run(3, 0.5, shuffle), 0.3)
    (axes,) = panels.gain(section(tmp_path, "shuffle")).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0.5x, g=3"]
    (paper,) = (line for line in axes.get_lines() if line.get_marker() == "D")
    assert list(paper.get_ydata()) == [0] and list(paper.get_xdata()) == approx([2.5])


def test_a_study_of_which_nothing_is_done_has_figures_that_say_so(tmp_path: Path) -> None:
    fixture.write_plan(tmp_path, "groups", fixture.grid("groups", [0]))
    fixture.write_plan(tmp_path, "shuffle", fixture.grid("shuffle", [0]))
    for draw_one, study in ((panels.change_by_axis, "groups"), (panels.gain, "shuffle")):
        (axes,) = draw_one(section(tmp_path, study)).axes
        assert [text.get_text() for text in axes.texts if "done yet" in text.get_text()]


@pytest.mark.parametrize("last,ticks", [(10, [2, 4, 6, 8, 10]), (8, [2, 4, 6, 8]), (7, [1, 3, 5, 7]), (1, [1])])
def test_the_last_epoch_has_a_tick(last: int, ticks: list[int]) -> None:
    assert curves.epoch_ticks(last) == ticks


def test_figures_carry_what_the_preset_says_of_its_results(results: Path) -> None:
    for name, figure in draw(results, style.WIDE).items():
        assert "Demonstration on drawn characters: it says nothing about ImageNet." in said(figure), name


def test_front() -> None:
    assert panels.front([3, 1, 2, 2, 5], [10, 30, 40, 20, 10]) == [1, 3, 0]
    assert panels.front([], []) == []


@pytest.mark.parametrize(
    ("title", "within"), [("Structures", "structures"), ("SE blocks", "SE blocks"), ("MobileNet", "MobileNet")]
)
def test_a_title_within_a_sentence(title: str, within: str) -> None:
    assert panels.lower(title) == within
