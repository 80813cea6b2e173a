"""A sweep on a terminal ends with its tables, ours above the paper's."""

import io

from rich.console import Console

from ablations.sweep.publishing import terminal_tables

TABLE = """# Number of groups

## Table 2. Top-1 error (%): glyphs

| Network |  | MACs (M) | g=1 | g=2 |
| --- | ---: | ---: | ---: | ---: |
| ShuffleNet 1x | ours | 7 | 8.7 [0.1, 17.3]<br>3 of 3 seeds | 13.7 [5.1, 22.2]<br>2 of 3 seeds, 1 failed |
| ShuffleNet 1x | paper | 140 | 33.6 | 32.7 |

A note | with a line.

## Table 2. Top-1 error (%): an older protocol

| Network |  | MACs (M) | g=1 |
| --- | ---: | ---: | ---: |
| ShuffleNet 1x | ours | 7 | 99.9<br>3 of 3 seeds |
"""


def printed(text: str, width: int) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width).print(*terminal_tables(text, width))
    return stream.getvalue()


def test_the_first_section_is_shown_with_intervals_below():
    text = printed(TABLE, 120)
    assert [line.split() for line in text.splitlines()] == [
        ["Table", "2.", "Top-1", "error", "(%):", "glyphs"],
        ["Network", "MACs", "(M)", "g=1", "g=2"],
        ["1x", "ours", "7", "8.7", "13.7"],
        ["[0.1,", "17.3]", "[5.1,", "22.2]"],
        ["2", "of", "3", "seeds,", "1", "failed"],
        ["1x", "paper", "140", "33.6", "32.7"],
    ]


def test_a_narrow_terminal_does_without_macs():
    assert "MACs" not in printed(TABLE, 80)


def test_a_table_of_the_paper_alone_is_not_shown():
    empty = TABLE.replace("8.7 [0.1, 17.3]<br>3 of 3 seeds", "").replace(
        "13.7 [5.1, 22.2]<br>2 of 3 seeds, 1 failed", ""
    )
    assert terminal_tables(empty, 80) == []
