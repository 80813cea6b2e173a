"""Inference times in tables, figure and page: numbers, sentences, and whatever latency.csv may hold."""

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from analysis import publish
from analysis.latency import figure, grids, sentences, times
from analysis.runs import macs
from analysis.runs.macs import Subject
from analysis.studies.figures import style
from tests import latency_fixture as made
from tests import results_fixture as fixture
from tests.drawn import check_texts
from tests.page import Page
from tests.report_fixture import page_of
from tests.sweeps import ROOT

HOSTILE = '"><script>alert(1)</script>|$%&_{{ 7 * 7 }}'
FORMS = (".svg", ".png", "-column.svg")


def fewer(subjects: list[Subject]) -> list[dict[str, int] | None]:
    """Multiply-adds that fall by two in a hundred for each group more than one."""
    counts = [int(1e6 * s.network["width"] * s.resolution * (1 - 0.02 * (s.network["groups"] - 1))) for s in subjects]
    return [{"macs": one, "conv_macs": one, "params": 1} for one in counts]


@pytest.fixture(autouse=True)
def _without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(macs, "_measure", fewer)


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two runs of a study; its own figures are not drawn, which have their own tests."""
    draw = publish._draw
    monkeypatch.setattr(publish, "_draw", lambda them: draw(them) if "latency" in them else fixture.undrawn(them))
    fixture.write_plan(tmp_path, "groups", fixture.grid("groups", [0], widths=[0.25]))
    for groups in (1, 8):
        fixture.write_done(tmp_path, fixture.run(groups, 0.25), 0.3)
    return tmp_path


def rows(results: Path, content: list | None = None) -> pd.DataFrame:
    made.write(results, content)
    found = times.read_times(results)
    assert found is not None and found.problem == ""
    return found.rows


def test_multiply_adds_are_joined_and_rows_sorted(tmp_path: Path) -> None:
    found = rows(tmp_path, made.rows()[::-1])
    assert tuple(found.columns) == times.COLUMNS and len(found) == 6 * 21
    # The file's own order of inputs is kept (reversed here); all else has the order of tables.
    assert list(found["input"].unique()) == ["imagenet", "glyphs"]
    first = found[found["input"] == "glyphs"].head(21)
    assert (first["engine"] == "pytorch").all() and (first["batch"] == 1).all()
    assert list(first["width"].unique()) == [1.0, 0.5, 0.25] and list(first["groups"].head(7)) == [1, 2, 3, 3, 4, 8, 8]
    one = first[(first["width"] == 0.5) & (first["groups"] == 8) & first["shuffle"]].iloc[0]
    assert one["macs"] == int(1e6 * 0.5 * 24 * 0.86) and one["macs_ratio"] == pytest.approx(0.86)
    assert one["ratio"] == pytest.approx(1.32 * 1.05) and one["shuffle_ratio"] == pytest.approx(1.05)


def test_sentences_are_what_the_numbers_say(tmp_path: Path) -> None:
    answer, example, shuffle, width = sentences.sentences(rows(tmp_path))
    assert answer == (
        "Does the cheaper count buy time? No. Networks that need fewer multiply-adds than one group at the same width "
        "(0.86 to 0.98 of them) were in PyTorch faster than it in 0 and slower in 48 of 48 measurements (1.16 to 1.39 "
        "of its time); in this project’s kernels (avx512) faster than it in 0 and slower in 24 of 24 measurements "
        "(1.10 to 1.32 of its time)."
    )
    assert example == (
        "At 1x, one image of glyphs 24×24 in PyTorch, g=8 takes 1.39 times as long as g=1 at 0.86 of its "
        "multiply-adds; on imagenet 224×224, g=8 1.39 times at 0.86."
    )
    assert shuffle == (
        "Channel shuffle itself, of no multiply-adds, changes the time by +5 % in PyTorch, 0 % in this project’s "
        "kernels (avx512)."
    )
    assert width == (
        "A smaller width: 0.5x takes 0.59 of 1x’s time at 0.50 of its multiply-adds (g=3, one image, imagenet 224×224, "
        "PyTorch); on the paper’s phone 0.40 (Table 8)."
    )


def test_single_images_are_left_to_pytorch_where_the_kernels_are_slower(tmp_path: Path) -> None:
    content = made.rows()
    for row in content:
        if row["engine"] == "native avx512" and row["width"] == 1.0 and row["groups"] == 1:
            row["median_ms"] *= 5
    assert sentences.sentences(rows(tmp_path, content))[-1] == (
        "For one image use PyTorch: this project’s kernels (avx512) are slower than it with 1 of 21 networks, at most "
        "10 ms against 2. They are made for batches."
    )


def test_the_answer_follows_the_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(ratios: list[tuple[float, float]]) -> str:
        content = made.rows([made.WAYS[0]], [(1.0, g, True) for g in (1, 2, 4, 8)])
        for row, (low, high) in zip(content[1:], ratios, strict=True):
            row.update(ratio=(low + high) / 2, ratio_low=low, ratio_high=high)
        return sentences.answer(rows(tmp_path, content))

    text = answer([(0.8, 0.9)] * 3)
    assert " Yes. Networks" in text
    assert "faster than it in 3 and slower in 0 of 3 measurements (0.85 of its time)" in text
    text = answer([(0.8, 0.9), (0.7, 0.98), (0.9, 1.1)])
    assert " Mostly. Networks" in text
    assert "faster than it in 2 and slower in 0 of 3 measurements (0.84 to 1.00 of its time)" in text
    text = answer([(0.8, 0.9), (1.2, 1.3), (0.9, 1.1)])
    assert " Seldom. Networks" in text
    assert "faster than it in 1 and slower in 1 of 3" in text
    monkeypatch.setattr(macs, "_measure", lambda subjects: [{"macs": 5, "conv_macs": 5, "params": 1}] * len(subjects))
    (tmp_path / "complexity.json").unlink()
    assert answer([(0.8, 0.9)] * 3).startswith("No network here needs fewer multiply-adds")


def test_what_is_not_known_is_not_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(macs, "_measure", lambda subjects: [None] * len(subjects))
    found = rows(tmp_path)
    assert found["macs"].isna().all()
    assert [text[:15] for text in sentences.sentences(found)] == ["Channel shuffle"]
    without = rows(tmp_path, made.rows(networks=[(1.0, 2, True), (1.0, 8, True)]))
    assert sentences.sentences(without) == []

    def fail(_: object) -> None:
        raise RuntimeError("the counters disagree")

    monkeypatch.setattr(macs, "_measure", fail)
    (tmp_path / "complexity.json").unlink()
    assert rows(tmp_path)["macs"].isna().all()


def test_tables_have_times_ratios_and_multiply_adds(tmp_path: Path) -> None:
    found = times.Latency(rows(tmp_path))
    shown = grids.grids(found)
    assert [grid.title for grid in shown] == [
        "Inference time: glyphs 24×24",
        "What channel shuffle takes: glyphs 24×24",
        "Inference time: imagenet 224×224",
        "What channel shuffle takes: imagenet 224×224",
        "Beside other networks: imagenet 224×224",
    ]
    table = shown[0].frame.set_index(["Network", ""])
    assert list(table.columns) == ["g=1", "g=2", "g=3", "g=4", "g=8"] and len(table) == 3 * 5
    ways = ["one image, PyTorch (ms)", "64 images, PyTorch (ms)"]
    kernels = [f"{images}, this project’s kernels (avx512) (ms)" for images in ("one image", "64 images")]
    assert list(table.loc["ShuffleNet 1x"].index) == [*ways, *kernels, "multiply-adds (M)"]
    assert table.loc[("ShuffleNet 1x", ways[0]), "g=1"] == "2.00"
    assert table.loc[("ShuffleNet 1x", ways[0]), "g=8"] == "2.77\n× 1.39 [1.36, 1.41]"
    assert table.loc[("ShuffleNet 1x", ways[1]), "g=1"] == "128"
    assert table.loc[("ShuffleNet 0.5x", "multiply-adds (M)"), "g=8"] == "10.3\n× 0.86"
    paper = shown[2].frame.set_index(["Network", ""])
    phone = "one image, the paper’s phone (ms)"
    assert list(paper.loc[("ShuffleNet 1x", phone)]) == ["–", "–", "37.8", "–", "–"]
    assert paper.loc[("ShuffleNet 0.5x", phone), "g=3"] == "15.2" and ("ShuffleNet 0.25x", phone) not in paper.index
    shuffle = shown[1].frame
    assert shuffle.shape == (6, 1 + 3 * 4)
    assert list(shuffle[("one image, PyTorch", "Ratio")]) == ["1.05 [1.03, 1.07]"] * 6
    assert list(shuffle.iloc[0])[:4] == ["ShuffleNet 1x (g=3)", "2.30", "2.42", "1.05 [1.03, 1.07]"]


def test_mobilenet_and_alexnet_stand_beside_two_phones(tmp_path: Path) -> None:
    given = made.rows()
    like = next(row for row in given if row["resolution"] == 224 and row["groups"] == 1)
    beside = {"ratio": None, "ratio_low": None, "ratio_high": None, "format_ratio": None}
    other = [
        {**like, **beside, "structure": name, "median_ms": ms} for name, ms in (("alexnet", 250.0), ("mobilenet", 70.0))
    ]
    made.write(tmp_path, given + other)
    found = times.read_times(tmp_path)
    assert found is not None and len(found.rows) == len(given) and not found.problem
    shown = grids.grids(found)[-1].frame.set_index("Network")
    assert list(shown.loc["MobileNet 1.0"]) == ["569", "70.0", "110.0", "107.1"]
    assert list(shown.loc["AlexNet"]) == ["720", "250", "184.0", "191.4"]
    assert list(shown.loc["ShuffleNet 1x, g=3"]) == ["140", "12.1", "37.8", "36.9"]
    alone = grids.grids(times.Latency(found.rows))[-1].frame
    assert list(alone["Here (ms)"])[1:] == ["–", "–"]
    made.write(tmp_path, other)
    damaged = times.read_times(tmp_path)
    assert damaged is not None and "it has no times of ShuffleNet" in damaged.problem


def test_tables_and_figure_are_published_and_go_with_the_file(study: Path) -> None:
    before = publish.publish(study)
    plain = (study / "report.html").read_text()
    assert "What it costs in time" not in plain and "latency" not in plain
    digest = publish.input_digest(study)
    path = made.write(study)
    assert publish.input_digest(study) != digest
    files = publish.publish(study)
    new = {str(one.relative_to(study)) for one in set(files) - set(before)}
    expected = {f"tables/latency.{form}" for form in ("csv", "md", "tex", "html")}
    assert new == expected | {f"figures/latency{form}" for form in FORMS}
    assert all((study / name).stat().st_size > 0 for name in new)
    assert len(pd.read_csv(study / "tables" / "latency.csv")) == 6 * 21
    assert "40 rounds" in (study / "tables" / "latency.tex").read_text()
    content = {one: one.read_bytes() for one in files if one.name != "report.html"}
    report = (study / "report.html").read_bytes()
    assert publish.publish(study, force=True) == files and (study / "report.html").read_bytes() == report
    assert all(one.read_bytes() == content[one] for one in content if one.name.startswith("latency"))
    path.unlink()
    assert publish.publish(study) == before and (study / "report.html").read_text() == plain
    assert not any((study / name).exists() for name in new)


def test_the_figure_is_drawn_again_only_when_times_change(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made.write(study)
    publish.publish(study)
    fixture.write_done(study, fixture.run(3, 0.25), 0.35)
    with monkeypatch.context() as patch:
        patch.setattr(figure, "latency", lambda *_: pytest.fail("drawn again"))
        publish.publish(study)
    (study / "figures" / "latency.png").unlink()
    made.write(study, made.rows(made.WAYS[:1]))
    publish.publish(study)
    assert (study / "figures" / "latency.png").stat().st_size > 0


def test_the_page_has_a_section_with_figure_tables_and_origin(study: Path) -> None:
    made.write(study)
    publish.publish(study)
    text = page_of(study)
    found = Page(text)
    words = found.words
    part = words[words.index("What it costs in time") :]
    assert "Does the cheaper count buy time? No. Networks" in part and "+5 % in PyTorch" in part
    assert (
        "Medians of 40 rounds" in part and "1 thread of cpu: Test CPU (python 3.11.0, torch 2.15.0; 2026-01-03" in part
    )
    assert "channels_last (the other takes 1.25 times as long at the median)" in part
    assert "one thread of a Qualcomm Snapdragon 820" in part and "2.77 × 1.39 [1.36, 1.41]" in part
    assert "#latency" in found.values("href") and found.values("id").count("latency") == 1
    ids = found.values("id")
    assert len(ids) == len(set(ids)) and set(found.values("aria-labelledby", "aria-describedby")) <= {*ids, " "}
    described, narrow = re.findall(r"<desc id=[^>]*>(Line charts of inference time.*)", text)
    assert described.startswith(
        "Line charts of inference time relative to one group, against number of groups. "
        "glyphs 24×24, one image, PyTorch: 1x: g=2 1.16, g=3 1.21, g=4 1.26, g=8 1.39; 0.5x: g=2 1.16"
    )
    assert "multiply-adds 1x: g=2 0.98, g=3 0.96, g=4 0.94, g=8 0.86;" in described
    assert narrow.partition("</desc>")[0] == described.partition("</desc>")[0], "for wide screens and for narrow ones"
    assert text == page_of(study)


def test_where_there_is_no_room_the_figure_is_named(study: Path) -> None:
    made.write(study)
    publish.publish(study, room=10_000)
    report = (study / "report.html").read_text()
    assert "Left out to keep this page small; see figures/latency.svg." in Page(report).words
    assert "Line charts of inference time" not in report and "2.77 × 1.39 [1.36, 1.41]" in Page(report).words


@pytest.mark.parametrize("width", (style.COLUMN, style.WIDE))
@pytest.mark.parametrize("ways", (made.WAYS, made.WAYS[:1], made.WAYS[:2] + made.WAYS[4:5]))
def test_no_text_of_the_figure_is_cut_or_overlaps(tmp_path: Path, width: float, ways: tuple) -> None:
    drawing = figure.latency(rows(tmp_path, made.rows(ways)), width)
    check_texts(drawing, f"{len(ways)} panels at {width} in")
    shown = [axes for axes in drawing.axes if axes.axison]
    assert len(shown) == len(ways)
    titles = [axes.get_title(loc="left") for axes in shown]
    assert len(set(titles)) == len(ways)


def test_the_figure_shows_times_quartiles_and_multiply_adds(tmp_path: Path) -> None:
    drawing = figure.latency(rows(tmp_path, made.rows(made.WAYS[:1])))
    (axes,) = (one for one in drawing.axes if one.axison)
    dashed = [line for line in axes.get_lines() if line.get_linestyle() == "--"]
    assert len(dashed) == 3 and all(
        list(line.get_ydata()) == pytest.approx([1, 0.98, 0.96, 0.94, 0.86]) for line in dashed
    )
    solid = [line for line in axes.get_lines() if line.get_linestyle() == "-" and line.get_marker() in "os^"]
    assert len(solid) == 3 and list(solid[0].get_ydata())[-1] == pytest.approx(1.386)
    assert 1.0 in axes.get_yticks(), "what all is relative to"
    crosses = [line for line in axes.get_lines() if line.get_marker() == "x"]
    assert len(crosses) == 3 and len(axes.collections) == 6, "bars of both"


def test_a_name_that_looks_like_mathematics_is_drawn_as_it_is(tmp_path: Path) -> None:
    content = [{**row, "input": "$\\frac$"} for row in made.rows(made.WAYS[:1])]
    drawing = figure.latency(rows(tmp_path, content))
    (axes,) = drawing.axes
    assert axes.get_title(loc="left").startswith("$\\frac$ 24×24\none image") and style.svg(drawing)


def damaged() -> dict[str, bytes]:
    """Contents that latency.csv must not have, with the word by which the reason is told."""
    good = pd.DataFrame(made.rows(made.WAYS[:1], [(1.0, 1, True), (1.0, 8, True)]))
    change = lambda **values: good.assign(**values).to_csv(index=False).encode()  # noqa: E731
    return {
        "no table": b"\x00\xff\xfe not a table \x80",
        "no table ": b'a,b\n"1,2\n3',
        "no table  ": b"",
        "no rows": good.iloc[:0].to_csv(index=False).encode(),
        "no column ratio": good.drop(columns="ratio").to_csv(index=False).encode(),
        "twice": pd.concat([good, good]).to_csv(index=False).encode(),
        "median_ms is 'nan'": change(median_ms="nan"),
        "median_ms is '-1'": change(median_ms=-1),
        "median_ms is 'inf'": change(median_ms="inf"),
        "groups is '8.5'": change(groups=8.5),
        "resolution is '99999999'": change(resolution=99_999_999),
        "shuffle is 'yes'": change(shuffle="yes"),
        "stem is 'x'": change(stem="x"),
        "structure is '../blog'": change(structure="../blog"),
        "bytes": good.to_csv(index=False).encode() + b"#" * 1_000_001,
    }


def test_what_is_damaged_is_told_by_column_and_value(tmp_path: Path) -> None:
    for reason, content in damaged().items():
        (tmp_path / "latency.csv").write_bytes(content)
        found = times.read_times(tmp_path)
        assert found is not None and found.rows.empty, reason
        assert found.problem.startswith("latency.csv cannot be used (") and reason.strip() in found.problem
        assert "measures anew" in found.problem and "\n" not in found.problem


def test_beside_a_damaged_file_all_else_is_published(study: Path) -> None:
    before = publish.publish(study)
    (study / "latency.csv").write_bytes(damaged()["stem is 'x'"].replace(b",x,", b",<script>,"))
    assert publish.publish(study) == before
    words = Page((study / "report.html").read_text()).words
    assert "latency.csv cannot be used (stem is '<script>' in one row)" in words[words.index("What it costs in time") :]


def test_a_file_cut_at_any_place_never_ends_the_report(tmp_path: Path) -> None:
    content = made.write(tmp_path, made.rows(made.WAYS[:1], [(1.0, 1, True), (1.0, 8, True)])).read_bytes()
    for end in range(0, len(content), 7):
        (tmp_path / "latency.csv").write_bytes(content[:end])
        found = times.read_times(tmp_path)
        assert found is not None and (found.problem or len(found.rows) in (1, 2))
    (tmp_path / "latency.csv").unlink()
    (tmp_path / "latency.csv").mkdir()
    found = times.read_times(tmp_path)
    assert found is not None and "cannot be used" in found.problem


def test_text_of_the_file_is_text_everywhere(study: Path) -> None:
    names = dict.fromkeys(("input", "engine", "memory_format", "device", "versions", "measured"), HOSTILE)
    made.write(study, [{**row, **names} for row in made.rows(made.WAYS[:1])])
    publish.publish(study)
    report = (study / "report.html").read_text()
    for text in (
        report,
        (study / "tables" / "latency.html").read_text(),
        (study / "tables" / "latency.md").read_text(),
    ):
        assert "<script" not in text
    found = Page(report)
    assert "script" not in found.tags and not [name for _, name, _ in found.attributes if name.startswith("on")]
    assert found.words.count("<script>alert(1)</script>") > 5 and "{{ 7 * 7 }}" in found.words
    assert r"\$\%\&\_" in (study / "tables" / "latency.tex").read_text()


def test_a_network_that_cannot_be_built_has_no_multiply_adds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    content = made.rows(made.WAYS[:1], [(0.25, 1, True)])
    odd = {**content[0], "groups": 7, "stem_channels": 5, "ratio": 1.2, "ratio_low": 1.1, "ratio_high": 1.3}
    found = rows(tmp_path, [*content, odd])
    assert found["macs"].notna().tolist() == [True, False]
    assert "g=7" in grids.grids(times.Latency(found))[0].frame
    assert sentences.answer(found) == ""


def test_reading_times_imports_neither_torch_nor_matplotlib(tmp_path: Path) -> None:
    rows(tmp_path)
    code = (
        "import sys; from pathlib import Path; from analysis.latency import sentences, times\n"
        f"assert sentences.sentences(times.read_times(Path({str(tmp_path)!r})).rows)\n"
        "heavy = {'torch', 'matplotlib'} & set(sys.modules); sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
