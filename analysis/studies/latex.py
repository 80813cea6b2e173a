r"""Tables of text in LaTeX, for a paper of two columns: LaTeX itself shrinks what is wider than the page.

A table of so many characters that its type would be smaller than 5.5 points is split into several.
"""

import re
import textwrap
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise

import pandas as pd

from ablations.core.text import one_line
from analysis.studies.grids import Grid

WRAP, HEAD = 26, 12
"""Characters in a line of a cell and of a heading, above which it wraps."""

ACROSS, DOWN = 160, 52
"""Characters beside each other, and lines below each other with those of the notes, that a table holds.

At 8 points a character is about 3.6 wide and a line 9.5 high: shrunk to 450 points or 0.7 of a page, type has 5.5 or
more.
"""

FLOAT = r"""\begin{table*}[t]
\centering\footnotesize\setlength{\tabcolsep}{3pt}
\caption{%s}
\label{tab:%s}
\begin{adjustbox}{max width=\textwidth, max totalheight=0.7\textheight}
%s
\end{adjustbox}
%s\end{table*}"""
NOTES = "\\par\\smallskip\\begin{minipage}{\\textwidth}\\raggedright\n%s\n\\end{minipage}\n"

GREEK = [
    (sign, unicodedata.name(sign).split()[-1].replace("LAMDA", "LAMBDA"))
    for sign in "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩ"
]
"""Letters and the names that LaTeX has for them."""

LATEX = str.maketrans(
    {
        **{sign: f"$\\{name.lower() if sign.islower() else name.title()}$" for sign, name in GREEK},
        **{sign: f"\\{sign}" for sign in "&%$#_{}"},
        **{sign: f"{{{sign}}}" for sign in "[]"},
        **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", '"': "''"},
        **{"<": "$<$", ">": "$>$", "|": "$|$", "−": "$-$", "≤": r"$\le$", "≥": r"$\ge$"},
    }
)
"""What LaTeX takes for a character that it reads as a command or does not have."""


def latex(title: str, grids: Sequence[Grid]) -> str:
    r"""Tables as text of a file to be \input in a paper of two columns."""
    start = f"% {one_line(title)}; needs \\usepackage{{adjustbox, booktabs, makecell}}"
    return "\n\n".join([start, *(text for grid in grids for text in _floats(grid))]) + "\n"


def tex(text: str) -> str:
    """Text with every character replaced that LaTeX reads as a command; long words may break."""
    words = (re.findall(".{1,8}", word) if len(word) > 20 else [word] for word in one_line(text).split(" "))
    return " ".join(r"\allowbreak{}".join(piece.translate(LATEX) for piece in word) for word in words)


def _floats(grid: Grid) -> Iterator[str]:
    """A grid as one table*, or several; its notes stand below the last."""
    frame = grid.frame.map(lambda cell: str(cell).replace(" [", "\n["))  # an interval has a line of its own
    names = [name if isinstance(name, tuple) else ("", name) for name in frame.columns]
    texts = ["\n".join([name[:HEAD], *frame.iloc[:, k]]) for k, (_, name) in enumerate(names)]
    longest = [max(map(len, text.split("\n"))) for text in texts]
    tall = [max(sum(len(line) // WRAP + 1 for line in cell.split("\n")) for cell in row) for row in frame.to_numpy()]
    first = 2 if ("", "") in names[1:2] else 1
    wide = [min(length, WRAP) + 2 for length in longest]
    pages = _split(tall, DOWN - sum(map(len, grid.notes)) // ACROSS)
    parts = [(rows, part) for rows in pages for part in _split(wide[first:], ACROSS - sum(wide[:first]))]
    for number, (rows, part) in enumerate(parts, start=1):
        shown = [*range(first), *(first + k for k in part)]
        title = re.sub(r"^Table \d+\. ", "", grid.title) + (f" (part {number} of {len(parts)})" if parts[1:] else "")
        label = grid.name + (f"-{number}" if number > 1 else "")
        table = _tabular(frame.iloc[list(rows), shown], [names[k] for k in shown], [longest[k] for k in shown])
        notes = NOTES % " ".join(map(tex, grid.notes)) if number == len(parts) else ""
        yield FLOAT % (tex(title), label, "\n".join(table), notes)


def _split(sizes: Sequence[int], room: int) -> list[range]:
    """Consecutive numbers in parts, the sizes of which fit the room."""
    starts, used = [0], 0
    for k, size in enumerate(sizes):
        if used and used + size > room:
            starts.append(k)
            used = 0
        used += size
    return [range(*ends) for ends in pairwise([*starts, len(sizes)])]


def _tabular(frame: pd.DataFrame, names: Sequence[tuple[str, str]], longest: Sequence[int]) -> Iterator[str]:
    """Headings of one level or two, then rows; what the rows of one network begin with stands in the first."""
    kinds = ["r" if k else "l" for k in range(len(names))]
    wraps = [length > WRAP for length in longest]
    columns = [
        rf">{{\raggedright}}p{{{WRAP / 2:g}em}}" if wrap else kind for kind, wrap in zip(kinds, wraps, strict=True)
    ]
    yield rf"\begin{{tabular}}{{{''.join(columns)}}} \toprule"
    upper, rules, end = [], [], 0
    for top, same in groupby(top for top, _ in names):
        start, end = end, end + len(list(same))
        width = max(HEAD, sum(longest[start:end]))
        upper.append(rf"\multicolumn{{{end - start}}}{{c}}{{{_stack(textwrap.wrap(top, width), 'cb')}}}")
        rules += [rf"\cmidrule(lr){{{start + 1}-{end}}}"] if top else []
    if rules:
        yield " & ".join(upper) + r" \tabularnewline " + " ".join(rules)
    heads = (textwrap.wrap(head, max(HEAD, length)) for (_, head), length in zip(names, longest, strict=True))
    lower = [_stack(head, f"{kind}b") for head, kind in zip(heads, kinds, strict=True)]
    yield " & ".join(lower) + r" \tabularnewline \midrule"
    above = ""
    for name, *cells in frame.itertuples(index=False, name=None):
        texts = [text.split("\n") for text in ("" if name == above else name, *cells)]
        above = name
        row = [
            r" \newline ".join(map(tex, text)) if wrap else _stack(text, "rt")
            for text, wrap in zip(texts, wraps, strict=True)
        ]
        yield " & ".join(row) + r" \tabularnewline \addlinespace[1pt]"
    yield r"\bottomrule \end{tabular}"


def _stack(lines: Sequence[str], place: str) -> str:
    """Lines below each other, in a cell that does not wrap."""
    text = r" \\ ".join(map(tex, lines))
    return rf"\makecell[{place}]{{{text}}}" if len(lines) > 1 else text
