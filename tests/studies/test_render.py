"""Markdown and HTML: nothing of a result is read as markup."""

from html.parser import HTMLParser

import pandas as pd

from analysis.studies import render
from analysis.studies.grids import Grid

HOSTILE = "<script>alert(1)</script> a|b `c` _d_ 100% $x$ #1 {y} \\z [text](http://x) & ~^"


class Page(HTMLParser):
    """Collects tags and text, and notes tags that close in the wrong order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def grid(levels: int = 1) -> Grid:
    frame = pd.DataFrame({"Network": ["1x", HOSTILE], "g=1": ["32.6 [31.9, 33.3]\n3 of 3 seeds", "not run"]})
    if levels == 2:
        frame.columns = pd.MultiIndex.from_tuples([("", "Network"), ("Ours", "Δ (points)")])
    return Grid("test", f"A title {HOSTILE}", frame, (f"A note {HOSTILE}",))


def test_html_is_escaped_and_well_formed() -> None:
    for levels in (1, 2):
        page = Page(render.html_page(f"Page {HOSTILE}", [grid(levels)]))
        assert page.open == [] and "script" not in page.tags
        assert sum("<script>alert(1)</script>" in text for text in page.text) == 5  # title twice, heading, cell, note
        assert "32.6 [31.9, 33.3]\n3 of 3 seeds" in page.text


def test_markdown_is_escaped() -> None:
    text = render.markdown("Page", [grid()])
    row = next(line for line in text.splitlines() if "script" in line and line.startswith("|"))
    assert row.count("|") - row.count("\\|") == 3, "two cells"
    assert "<script" not in text and "](http" not in text and "\\`c\\`" in text and "\\_d\\_" in text
    assert "| 1x | 32.6 [31.9, 33.3]<br>3 of 3 seeds |" in text
    assert "| Network | Δ (points), ours |" in render.markdown("Page", [grid(2)])
