"""Markdown and HTML: nothing of a result is read as markup."""

import pandas as pd

from analysis.studies import render
from analysis.studies.grids import Grid
from tests.page import Page

HOSTILE = "<script>alert(1)</script> a|b `c` _d_ 100% $x$ #1 {y} \\z [text](http://x) & ~^"


def grid(levels: int = 1) -> Grid:
    frame = pd.DataFrame({"Network": ["1x", HOSTILE], "g=1": ["32.6 [31.9, 33.3]\n3 of 3 seeds", "not run"]})
    if levels == 2:
        frame.columns = pd.MultiIndex.from_tuples([("", "Network"), ("Ours", "Δ (points)")])
    return Grid("test", f"A title {HOSTILE}", frame, (f"A note {HOSTILE}",))


def test_html_is_escaped_and_well_formed() -> None:
    for levels in (1, 2):
        page = Page(render.html_page(f"Page {HOSTILE}", [grid(levels)]))
        assert "script" not in page.tags
        assert sum("<script>alert(1)</script>" in text for text in page.text) == 5  # title twice, heading, cell, note
        assert "32.6 [31.9, 33.3]\n3 of 3 seeds" in page.text


def test_markdown_is_escaped() -> None:
    text = render.markdown("Page", [grid()])
    row = next(line for line in text.splitlines() if "script" in line and line.startswith("|"))
    assert row.count("|") - row.count("\\|") == 3, "two cells"
    assert "<script" not in text and "](http" not in text and "\\`c\\`" in text and "\\_d\\_" in text
    assert "| 1x | 32.6 [31.9, 33.3]<br>3 of 3 seeds |" in text
    assert "| Network | Δ (points), ours |" in render.markdown("Page", [grid(2)])


def test_a_linked_table_to_the_letter() -> None:
    frame = pd.DataFrame(
        {"Network": ["a&b", "a&b", "c"], "": ["ours", "ours", "ours"], "g=1": ["1.0 [0.9, 1.1]\n3 seeds", "–", "2"]}
    )
    frame.columns = pd.MultiIndex.from_tuples([("", "Network"), ("", "by"), ("Ours", "g=1")])
    frame["Ours", "g=2"] = "<script>alert(1)</script>"
    text = render.linked_table(Grid("test", "", frame, (), anchors={(0, 2): "cell-1"}), 2)
    lines = [line.strip() for line in text.splitlines()]
    assert lines[:8] == [
        *("<table>", "<thead>", "<tr>", '<th scope="col" >&nbsp;</th>', '<th scope="col" >&nbsp;</th>'),
        *('<th scope="col" colspan="2">Ours</th>', "</tr>", "<tr>"),
    ]
    assert lines.count('<th scope="row" rowspan="2">a&amp;b</th>') == 1 and '<th scope="row" >c</th>' in lines
    assert lines.count('<th scope="row" >ours</th>') == 3, "the last heading of a row is never merged"
    assert '<td ><a href="#cell-1">1.0<i> [0.9, 1.1]</i></a><small>3 seeds</small></td>' in lines
    page = Page(text)
    assert "script" not in page.tags and page.text.count("<script>alert(1)</script>") == 3
    alone = render.linked_table(Grid("test", "", frame, ()), 1)
    assert "rowspan" not in alone and alone.count('<th scope="row" >a&amp;b</th>') == 2
