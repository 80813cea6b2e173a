"""Figures: the same bytes for the same results, nothing cut or overlapping, no interval where there is none."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import matplotlib
import pytest
from matplotlib.figure import Figure

from analysis.runs import frame, macs
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
        "groups": panels.error_by_axis(groups, width),
        "macs": panels.error_by_macs(groups, width),
        "gain": panels.gain(shuffle, width),
        "curves": curves.curves(shuffle.runs, results, shuffle.title, width),
    }


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


@pytest.mark.parametrize("width", WIDTHS)
def test_no_text_is_cut_or_overlaps(results: Path, width: float) -> None:
    for name, figure in draw(results, width).items():
        check_texts(figure, f"{name} at {width} in")


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
    said: Callable[[Figure], str] = lambda figure: " ".join(text.get_text() for text in figure.texts)  # noqa: E731
    text = said(panels.error_by_axis(section(results, "groups")))
    assert "glyphs 24×24, 2,000 training images, 8 epochs; 0 to 2 seeds." in text
    assert "run-to-run variation not covered" in text, "the extra networks have one seed"
    assert "2 seeds an arm" in said(panels.gain(section(results, "shuffle")))


def test_curves_of_no_runs_say_so(results: Path) -> None:
    none = section(results, "shuffle").runs.iloc[:0]
    figure = curves.curves(none, results, "nothing")
    assert [text.get_text() for axes in figure.axes for text in axes.texts] == ["not planned"] * 15


def test_front() -> None:
    assert panels.front([3, 1, 2, 2, 5], [10, 30, 40, 20, 10]) == [1, 3, 0]
    assert panels.front([], []) == []
