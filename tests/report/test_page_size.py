"""The report at size: many protocols, many seeds, wide intervals; what is left out is said."""

import re
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
from tests.report_fixture import page_of, render

pages = sys.modules[page.__module__]


pytestmark = pytest.mark.usefixtures("made_up_costs")


def test_protocols_have_a_section_each_the_latest_first(tmp_path: Path) -> None:
    for epochs, day in ((8, 1), (20, 2)):
        under = fixture.protocol(epochs=epochs)
        fixture.write_plan(tmp_path, "groups", fixture.grid("groups", [0], under, [0.25]), day=day)
        fixture.write_done(tmp_path, fixture.run(3, 0.25, under=under), epochs / 100)
    text = page_of(tmp_path)
    newest, oldest = text.split('<section class="protocol"')[1:]
    assert "20.0" in newest and "8.0 [" not in newest and "8.0 [" in oldest
    assert "Table 1. Complexity" in newest and "Table 1. Complexity" not in oldest
    assert "the shuffle study was not planned under it" in oldest
    assert text == page_of(tmp_path)


def test_protocols_are_told_apart_by_what_differs(tmp_path: Path) -> None:
    for lr, error, day in ((0.2, 0.3, 1), (0.01, 0.4, 2)):
        under = replace(fixture.PROTOCOL, recipe=replace(fixture.RECIPE, lr=lr))
        fixture.write_plan(tmp_path, "groups", fixture.grid("groups", [0], under, [0.25]), day=day)
        fixture.write_done(tmp_path, fixture.run(3, 0.25, under=under), error)
    found = Page(text := page_of(tmp_path))
    nav = Page(text[text.index("<nav") : text.index("</nav>") + 6])
    assert nav.words.startswith("lr 0.01 lr 0.2 Protocols beside each other")
    targets = [target.removeprefix("#") for target in nav.values("href")]
    assert targets[0].startswith("glyphs-8ep-lr-0.01-") and targets[1].startswith("glyphs-8ep-lr-0.2-")
    assert set(targets) <= set(found.values("id"))
    assert "<title>ShuffleNet v1’s ablation studies: lr 0.01; lr 0.2</title>" in text
    assert "Table 2. Top-1 error (%) against number of groups (lr 0.01)" in found.words
    assert "Error against number of groups (lr 0.2)" in found.words
    assert re.findall(r"<mark>(.*?)</mark>", text) == [
        f"{lr} at its highest, falling linearly to 0" for lr in (0.01, 0.2)
    ]
    table = Page(text[(start := text.index("<table", text.index('id="across"'))) : text.index("</table>", start) + 8])
    assert table.words.startswith("Cell lr 0.01 lr 0.2 0.25x g=1 not run, 1 planned not run, 1 planned")
    assert "0.25x g=3 40.0 [37.0, 43.1]‡ 30.0 [27.2, 32.9]‡ 0.25x g=4" in table.words
    assert "#cell-" in table.values("href")[0] and len(table.values("href")) == 10


def test_a_single_protocol_or_none_in_common_has_no_view_across(tmp_path: Path, whole: str) -> None:
    assert 'id="across"' not in whole
    for width, under in ((0.25, fixture.PROTOCOL), (0.5, fixture.protocol(epochs=20))):
        fixture.write_done(tmp_path, fixture.run(3, width, under=under), 0.3)
    runs = frame.runs(tmp_path)
    text = page(tmp_path, runs, assemble.sections("groups", runs, tmp_path), [])
    assert 'id="across"' not in text and text.count('<section class="protocol"') == 2


def test_a_page_that_would_be_too_large_says_what_it_leaves_out(
    results: Path, whole: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "FIGURES", 100_000)
    words = Page(text := render(results)).words
    assert "Left out to keep this page small; see figures/curves.svg." in words and len(text) < len(whole) - 50_000
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
