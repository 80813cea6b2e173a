r"""Tables of text in LaTeX, for a paper of two columns: each fits the page, whatever it holds.

A file to be \input cannot measure itself, so widths are estimated from the letters of Computer Modern. Type is made
smaller, intervals get lines of their own, and a table is cut into parts that stand below each other, until it fits the
width of the page. Rows that one page cannot hold continue in another table.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from ablations.core.text import one_line
from analysis.studies.grids import Grid

LINE, PAGE = 450.0, 540.0
"""Points of a line across both columns, and of a page: those of LaTeX's article on A4, which are the smallest."""

LONGEST, SHORTEST = 24, 8
"""Characters in a line of a cell, above which its column wraps; the second where nothing else fits."""

NARROWEST = 12.0
"""Least width of a column that wraps, in units of the type size."""

WORD, PIECE = 20, 8
"""Characters of a word, above which it may break, and of the pieces that it breaks into."""

LINES = r"\providecommand{\ablationlines}[1]{\begin{tabular}[t]{@{}r@{}}#1\end{tabular}}"
"""Sets a cell of several lines, its first line on the line of the row."""

LATEX = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"$<$", ">": r"$>$"},
    **{"×": r"$\times$", "Δ": r"$\Delta$", "−": r"$-$", "±": r"$\pm$", "–": "--", "‡": r"$^\ddagger$", "≤": r"$\le$"},
    **{"“": "``", "”": "''", "|": r"$|$", "[": "{[}", "]": "{]}", '"': "''"},
}
"""What LaTeX takes for a character that it reads as a command or does not have."""

LETTERS = {
    **dict.fromkeys("il.,:;'|’‘!", 0.28),
    **dict.fromkeys(" fjI-([])/tsr‡", 0.39),
    **dict.fromkeys("aceozgvxyk0123456789τ–", 0.53),
    **dict.fromkeys("bdhnpqu", 0.56),
    **dict.fromkeys("mwMW%&+−×=<>≤±ΔOQ", 0.84),
}
"""Widths of characters in units of the type size; 0.76 of any other."""


@dataclass(frozen=True)
class Size:
    """A size of type.

    Attributes:
        points, leading: its height, and the distance of its lines.
        gap: between columns, in points.
        scale: of the letters, which are wider in small type.
    """

    name: str
    points: float
    leading: float
    gap: float
    scale: float


SIZES = (Size("small", 9, 11, 10, 1.03), Size("footnotesize", 8, 9.5, 8, 1.06), Size("scriptsize", 7, 8, 5, 1.14))


@dataclass(frozen=True)
class Body:
    """What a table holds: headings of two levels, rows, a remark or nothing below each, how many columns name rows."""

    tops: list[str]
    heads: list[str]
    rows: list[list[str]]
    remarks: list[str]
    naming: int


@dataclass(frozen=True)
class Layout:
    """How a table is set.

    Attributes:
        parts: width in points of each column, by its number, of each part of the table.
        wrapped: columns that wrap.
        stacked: whether intervals have a line of their own.
    """

    size: Size
    parts: tuple[dict[int, float], ...]
    wrapped: frozenset[int]
    stacked: bool


def latex(title: str, grids: Sequence[Grid]) -> str:
    r"""Tables as text of a file to be \input in a paper of two columns; it needs the booktabs package."""
    start = f"% {one_line(title)}; needs \\usepackage{{booktabs}}\n{LINES}"
    return "\n\n".join([start, *(text for grid in grids for text in _floats(grid))]) + "\n"


def tex(text: str) -> str:
    """Text with every character replaced that LaTeX reads as a command; long words may break."""
    words = ([w] if len(w) <= WORD else re.findall(f".{{1,{PIECE}}}", w) for w in one_line(text).split(" "))
    return " ".join(r"\allowbreak{}".join("".join(LATEX.get(c, c) for c in piece) for piece in word) for word in words)


def _floats(grid: Grid) -> Iterator[str]:
    """A grid as one table*, or several where a page cannot hold its rows; its notes stand below the last."""
    body = _body(grid)
    layout, pages = _layout(body, grid.notes)
    for number, rows in enumerate(pages, start=1):
        caption = re.sub(r"^Table \d+\. ", "", grid.title) + (f" (part {number} of {len(pages)})" if pages[1:] else "")
        lines = [
            r"\begin{table*}[t]",
            rf"\centering\{layout.size.name}\setlength{{\tabcolsep}}{{{layout.size.gap / 2:g}pt}}",
        ]
        lines += [rf"\caption{{{tex(caption)}}}", rf"\label{{tab:{grid.name}{f'-{number}' if number > 1 else ''}}}"]
        lines.append("\n\\par\\medskip\n".join(_tabular(body, layout, part, rows) for part in layout.parts))
        if number == len(pages):
            lines += [r"\par\smallskip\begin{minipage}{\textwidth}\footnotesize\raggedright"]
            lines += [" ".join(map(tex, grid.notes)), r"\end{minipage}"]
        yield "\n".join([*lines, r"\end{table*}"])


def _body(grid: Grid) -> Body:
    """The text of a grid. Sentences at the end of rows become remarks below them: a column would be too narrow."""
    names = [name if isinstance(name, tuple) else ("", name) for name in grid.frame.columns]
    tops, heads = ([str(name[level]) for name in names] for level in (0, 1))
    rows = [[str(cell) for cell in row] for row in grid.frame.itertuples(index=False, name=None)]
    remarks = [row.pop() if grid.prose else "" for row in rows]
    if grid.prose:
        tops, heads = tops[:-1], heads[:-1]
    return Body(tops, heads, rows, remarks, 2 if len(heads) > 2 and not (heads[1] or tops[1]) else 1)


def _layout(body: Body, notes: Sequence[str]) -> tuple[Layout, list[range]]:
    """The layout in the fewest parts, then on the fewest pages, then in the largest type; and the rows of each page."""
    columns = range(body.naming, len(body.heads))
    blocks = [list(same) for _, same in groupby(columns, key=lambda k: body.tops[k] or k)]
    for count in range(1, len(blocks) + 1):
        ends = [len(blocks) * k // count for k in range(count + 1)]
        parts = [[k for block in blocks[a:b] for k in block] for a, b in pairwise(ends)]
        tried = [_set(body, parts, size, stacked) for size in SIZES for stacked in (False, True)]
        if found := [(layout, _pages(body, layout, notes)) for layout in tried if _fits(layout)]:
            return min(found, key=lambda pair: len(pair[1]))
    layout = _set(body, [[k] for k in columns] or [[]], SIZES[-1], True, SHORTEST)
    return layout, _pages(body, layout, notes)


def _set(body: Body, parts: Sequence[Sequence[int]], size: Size, stacked: bool, longest: int = LONGEST) -> Layout:
    """The layout in this size; columns that wrap share what room the others leave."""
    texts = [[line for row in body.rows for line in _lines(row[k], stacked)] for k in range(len(body.heads))]
    wrapped = frozenset(k for k, lines in enumerate(texts) if max(map(len, lines), default=0) > longest)
    natural = [max((_width(line, size) for line in lines), default=0) for lines in texts]
    least = [min(natural[k], NARROWEST * size.points) if k in wrapped else natural[k] for k in range(len(natural))]
    found = []
    for part in parts:
        widths = {k: max(least[k], _longest_word(body.heads[k], size)) for k in (*range(body.naming), *part)}
        for top, same in groupby(widths, key=lambda k: body.tops[k]):
            span = list(same)
            missing = _longest_word(top, size) - sum(widths[k] for k in span) - size.gap * (len(span) - 1)
            widths[span[-1]] += max(0, missing)
        room = max(0, LINE - size.gap * len(widths) - sum(widths.values()))
        wanted = {k: max(0, natural[k] - widths[k]) for k in widths if k in wrapped}
        share = min(1, room / (sum(wanted.values()) or 1))
        found.append({k: width + share * wanted.get(k, 0) for k, width in widths.items()})
    return Layout(size, tuple(found), wrapped, stacked)


def _fits(layout: Layout) -> bool:
    return all(sum(part.values()) + layout.size.gap * len(part) <= LINE for part in layout.parts)


def _pages(body: Body, layout: Layout, notes: Sequence[str]) -> list[range]:
    """The rows that stand on each page."""
    size, small = layout.size, SIZES[1]
    below = small.leading * math.ceil(sum(_width(note, small) for note in notes) / LINE)
    heads = len(layout.parts) * 5 * size.leading  # headings of up to three lines, rules and the space between parts
    room, height = max(PAGE / 3, PAGE - below - heads), 0.0
    starts = [0]
    for number, row in enumerate(body.rows):
        tall = [_height(row, body.remarks[number], layout, part) for part in layout.parts]
        if height + sum(tall) > room and number > starts[-1]:
            starts.append(number)
            height = 0.0
        height += sum(tall)
    return [range(a, b) for a, b in zip(starts, [*starts[1:], len(body.rows)], strict=True)]


def _height(row: Sequence[str], remark: str, layout: Layout, part: dict[int, float]) -> float:
    """Height of a row of one part in points."""
    size = layout.size
    lines = 1
    for k, width in part.items():
        found = _lines(row[k], layout.stacked)
        lines = max(
            lines, sum(math.ceil(_width(t, size) / width) for t in found) if k in layout.wrapped else len(found)
        )
    return (lines + math.ceil(_width(remark, size) / LINE)) * size.leading + 3


def _tabular(body: Body, layout: Layout, part: dict[int, float], rows: range) -> str:
    """One part of a table."""
    kinds = [f"p{{{width:.0f}pt}}" if k in layout.wrapped else "r" if k else "l" for k, width in part.items()]
    lines = [rf"\begin{{tabular}}{{{''.join(kinds)}}}", r"\toprule", *_heads(body, layout, part), r"\midrule"]
    for number in rows:
        cells = list(body.rows[number])
        if body.naming == 2 and number > rows.start and cells[0] == body.rows[number - 1][0]:
            cells[0] = ""
        lines.append(" & ".join(_cell(cells[k], k, layout) for k in part) + r" \tabularnewline")
        if remark := body.remarks[number]:
            width = sum(part.values()) + layout.size.gap * (len(part) - 1) - layout.size.points
            spec = rf"@{{\hspace{{{layout.size.gap / 2 + layout.size.points:g}pt}}}}p{{{width:.0f}pt}}"
            text = rf"\raggedright\itshape {tex(remark)}"
            lines.append(rf"\multicolumn{{{len(part)}}}{{{spec}}}{{{text}}} \tabularnewline")
        if (body.remarks[number] or any("\n" in text for text in cells)) and number != rows[-1]:
            lines.append(r"\addlinespace[2pt]")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])


def _heads(body: Body, layout: Layout, part: dict[int, float]) -> list[str]:
    """One row of headings, or two, with the upper ones above the columns that share them."""
    lower = [
        rf"\multicolumn{{1}}{{{'r' if k else 'l'}}}{{{_stack(body.heads[k], width, layout.size)}}}"
        if k in layout.wrapped
        else _stack(body.heads[k], width, layout.size)
        for k, width in part.items()
    ]
    if not any(body.tops):
        return [" & ".join(lower) + r" \tabularnewline"]
    upper, rules, start = [], [], 1
    for top, same in groupby(part, key=lambda k: body.tops[k]):
        span = list(same)
        width = sum(part[k] for k in span) + layout.size.gap * (len(span) - 1)
        upper.append(rf"\multicolumn{{{len(span)}}}{{c}}{{{_stack(top, width, layout.size, 'c')}}}")
        rules += [rf"\cmidrule(lr){{{start}-{start + len(span) - 1}}}"] if top else []
        start += len(span)
    return [" & ".join(upper) + r" \tabularnewline", " ".join(rules), " & ".join(lower) + r" \tabularnewline"]


def _stack(head: str, width: float, size: Size, align: str = "r") -> str:
    """A heading in as many lines as its width needs."""
    lines: list[str] = []
    for word in one_line(head).split(" "):
        if lines and _width(f"{lines[-1]} {word}", size) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    text = r" \\ ".join(map(tex, lines))
    return text if len(lines) == 1 else rf"\shortstack[{align}]{{{text}}}"


def _cell(text: str, column: int, layout: Layout) -> str:
    """A cell; its lines stay lines."""
    lines = [tex(line) for line in _lines(text, layout.stacked)]
    if column in layout.wrapped:
        side = r"\raggedleft" if column and len(lines) > 1 else r"\raggedright"
        return f"{side} " + r" \newline ".join(lines)
    stack = r" \\ ".join(lines)
    return stack if len(lines) == 1 else rf"\ablationlines{{{stack}}}"


def _lines(cell: str, stacked: bool) -> list[str]:
    """Lines of a cell; `stacked` puts an interval, ` [1.2, 3.4]`, on a line of its own."""
    return (cell.replace(" [", "\n[") if stacked else cell).split("\n")


def _longest_word(text: str, size: Size) -> float:
    return max((_width(word, size) for word in text.split()), default=0)


def _width(text: str, size: Size) -> float:
    """Estimated width of a line in points, rather too wide."""
    return 1.02 * size.points * size.scale * sum(LETTERS.get(sign, 0.76) for sign in one_line(text))
