"""The report at size: many protocols, many seeds, wide intervals; what is left out is said."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.claims.verdict import Verdict
from analysis.report import forest
from analysis.report.page import page
from analysis.runs import frame
from analysis.studies import assemble
from tests import results_fixture as fixture
from tests.page import Page
from tests.report_fixture import render

pages = sys.modules[page.__module__]


pytestmark = pytest.mark.usefixtures("made_up_costs")


def test_protocols_have_a_section_each_the_latest_first(tmp_path: Path) -> None:
    for epochs, day in ((8, 1), (20, 2)):
        under = fixture.protocol(epochs=epochs)
        fixture.write_plan(tmp_path, "groups", fixture.grid("groups", [0], under, [0.25]), day=day)
        fixture.write_done(tmp_path, fixture.run(3, 0.25, under=under), epochs / 100)
    runs = frame.runs(tmp_path)
    groups, shuffle = (assemble.sections(study, runs, tmp_path) for study in ("groups", "shuffle"))
    text = page(tmp_path, runs, groups, shuffle)
    newest, oldest = text.split('<section class="protocol"')[1:]
    assert "20.0" in newest and "8.0 [" not in newest and "8.0 [" in oldest
    assert "Table 1. Complexity" in newest and "Table 1. Complexity" not in oldest
    assert "the shuffle study was not planned under it" in oldest
    assert text == page(tmp_path, runs, groups, shuffle)


def test_a_page_that_would_be_too_large_says_what_it_leaves_out(
    results: Path, whole: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "FIGURES", 250_000)
    words = Page(text := render(results)).words
    assert "Left out to keep this page small; see figures/curves.svg." in words and len(text) < len(whole) - 200_000
    monkeypatch.setattr(pages, "SIZE", 115_000)
    brief = Page(text := render(results)).words
    assert len(text.encode()) < 160_000 and fixture.run(3, 0.5).run_id not in brief and "2 of 2 seeds" in brief
    assert "2 more: python -m analysis.explain table2 --groups 3 --width 0.5 lists them all." in brief
    monkeypatch.setattr(pages, "SIZE", 1000)
    words = Page(render(results)).words
    assert "Protocols without a section here" in words and "glyphs 24×24, 2,000 training images, 8 epochs" in words


def test_of_many_seeds_some_are_listed(tmp_path: Path) -> None:
    runs = [fixture.run(3, 0.25, seed=seed) for seed in range(40)]
    fixture.write_plan(tmp_path, "groups", runs)
    for one in runs[:30]:
        fixture.write_done(tmp_path, one, 0.3 + one.seed / 1000)
    for one in runs[30:]:
        fixture.write_failure(tmp_path, one, "failed", "long " * 200)
    everything = frame.runs(tmp_path)
    groups = assemble.sections("groups", everything, tmp_path)
    text = page(tmp_path, everything, groups, [])
    words = Page(text).words
    assert "20 more: python -m analysis.explain table2 --groups 3 --width 0.25 lists them all." in words
    assert "4 more missing runs." in words and words.count("long long") < 9000 and "…" in words
    assert runs[9].run_id in text and f"<td>{runs[10].run_id}" not in text


def test_a_wide_interval_is_cut_and_does_not_hide_the_others() -> None:
    base = {"study": "groups", "unit": "points", "margin": 0.5, "paper_effect": 1.0, "direction": "positive"}
    rest = dict.fromkeys(("claim", "source", "says", "protocol_id", "verdict", "method", "reason", "scope"), "")
    more = {"p": None, "p_holm": None, "levene_p": None, "seeds_least": 2, "seeds_most": 2, "seeds_needed": None}
    narrow = Verdict(**base, **rest, **more, effect=1.5, low=1.0, high=2.0, cells=())  # type: ignore[arg-type]
    broad = replace(narrow, low=-100.0, high=100.0)
    on = forest.scale([narrow, broad])
    assert on.low > -10 and on.high < 10
    first, second = forest.row(narrow, on), forest.row(broad, on)
    assert first.cut == (False, False) and second.cut == (True, True)
    assert second.interval == (forest.MARGIN, forest.WIDTH - forest.MARGIN)
    assert first.interval and first.effect and first.interval[0] < first.effect < first.interval[1]
    assert first.interval[1] - first.interval[0] > 20, "still to be seen"
    assert forest.row(replace(narrow, effect=None, low=None, high=None), on).interval is None
