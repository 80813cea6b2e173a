"""Tables of text as Markdown and HTML; every character of a result is escaped for where it goes."""

import html
import re
from collections.abc import Sequence
from itertools import groupby

import jinja2
from markupsafe import Markup, escape

from ablations.core.text import one_line
from analysis.studies.grids import Grid

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 72rem; margin: 2rem auto;
       padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; border-top: 2px solid #1a1a1a; border-bottom: 2px solid #1a1a1a; }
th, td { padding: .3rem .8rem; text-align: right; vertical-align: top; white-space: pre;
         font-variant-numeric: tabular-nums; }
th { font-weight: 600; border-bottom: 1px solid #999; } th[colspan] { text-align: center; }
td:first-child, th:first-child { text-align: left; }
.prose td:first-child, .prose td:last-child { white-space: normal; text-align: left; min-width: 15rem; }
tbody tr + tr td { border-top: 1px solid #e4e4e4; }
.notes { color: #444; font-size: .87rem; max-width: 60rem; } .notes p { margin: .3rem 0; }
"""

LINKED = jinja2.Environment(
    autoescape=True, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
).from_string(
    """\
{% macro heading(scope, text, span) %}
      <th scope="{{ scope }}" {% if span > 1 %}{{ "colspan" if scope == "col" else "rowspan" }}="{{ span }}"{% endif %}\
>{{ text }}</th>
{% endmacro %}
<table>
  <thead>
{% for row in head %}
    <tr>
{% for text, span in row if span %}
{{ heading("col", text, span) -}}
{% endfor %}
    </tr>
{% endfor %}
  </thead>
  <tbody>
{% for row in body %}
    <tr>
{% for text, span in row[:heads] if span %}
{{ heading("row", text, span) -}}
{% endfor %}
{% for text, _ in row[heads:] %}
      <td >{{ text }}</td>
{% endfor %}
    </tr>
{% endfor %}
  </tbody>
</table>
"""
)
"""`linked_table`: headings with the number of columns or rows that each spans, then cells."""


def markdown(title: str, grids: Sequence[Grid]) -> str:
    """A page of tables in GitHub's Markdown; lines within a cell become <br>."""
    parts = [f"# {_mark(title)}"]
    for grid in grids:
        heads = [_mark(_flat(column)) for column in grid.frame.columns]
        rule = ["---", *["---:"] * (len(heads) - 1)]
        body = [[_mark(cell) for cell in row] for row in grid.frame.itertuples(index=False)]
        lines = [f"| {' | '.join(row)} |" for row in [heads, rule, *body]]
        parts += [f"## {_mark(grid.title)}", "\n".join(lines), *map(_mark, grid.notes)]
    return "\n\n".join(parts) + "\n"


def html_page(title: str, grids: Sequence[Grid]) -> str:
    """A page of tables that stands alone: no script, nothing loaded from elsewhere."""
    head = (
        f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{html.escape(title)}</title>'
    )
    body = "\n".join([f"<h1>{html.escape(title)}</h1>", *map(html_table, grids)])
    page = f"<head>{head}<style>{STYLE}</style></head>\n<body>\n{body}\n</body>"
    return f'<!doctype html>\n<html lang="en">\n{page}\n</html>\n'


def html_table(grid: Grid) -> str:
    """One table with its title and notes, as a piece of a page."""
    styler = grid.frame.style.hide(axis="index").format(escape="html").format_index(escape="html", axis="columns")
    table = styler.set_uuid(grid.name).to_html(exclude_styles=True, sparse_columns=True)
    kind = "wide prose" if grid.prose else "wide"
    notes = "".join(f"<p>{html.escape(note)}</p>" for note in grid.notes)
    return f'<h2>{html.escape(grid.title)}</h2>\n<div class="{kind}">\n{table}</div>\n<div class="notes">{notes}</div>'


def linked_table(grid: Grid, heads: int) -> Markup:
    """A table alone, its first `heads` columns as headings of rows, each number a link to its place in the page."""
    names = [name if isinstance(name, tuple) else (name,) for name in grid.frame.columns]
    head = [[(str(name[-1]), 1) for name in names]]
    if len(names[0]) > 1:
        above = [str(name[0]) for name in names[heads:]]
        head.insert(0, [(Markup("&nbsp;"), 1)] * heads + list(zip(above, _spans(above), strict=True)))
    rows = [
        [_cell(text, grid.anchors.get((i, k), "")) for k, text in enumerate(row)]
        for i, row in enumerate(grid.frame.itertuples(index=False, name=None))
    ]
    # Of two headings the first spans the rows that share it; the last heading is never merged.
    spans = _spans([row[0] for row in rows]) if heads > 1 else [1] * len(rows)
    body = [[(cell, 1 if k else span) for k, cell in enumerate(row)] for row, span in zip(rows, spans, strict=True)]
    return Markup(LINKED.render(head=head, body=body, heads=heads))


def _spans(texts: Sequence[str]) -> list[int]:
    """The length of the run of equal texts that begins at each, 0 within a run."""
    runs = [len(list(same)) for _, same in groupby(texts)]
    return [span for run in runs for span in (run, *[0] * (run - 1))]


def _cell(text: str, anchor: str) -> Markup:
    """`12.3 [11.5, 13.1]` and what is below it: the mean, its interval lighter, the rest small."""
    first, *below = str(text).split("\n")
    mean, bracket, interval = first.partition(" [")
    shown = Markup("{}<i>{}{}</i>").format(mean, bracket, interval) if bracket else escape(first)
    shown = Markup('<a href="#{}">{}</a>').format(anchor, shown) if anchor else shown
    return shown + Markup("").join(Markup("<small>{}</small>").format(line) for line in below)


def _flat(column: object) -> str:
    """A heading of two levels in one line: `No shuffle, ours`."""
    if not isinstance(column, tuple):
        return str(column)
    top, name = column
    return f"{name}, {str(top).lower()}" if top else str(name)


def _mark(text: str) -> str:
    """Text that Markdown shows as it is."""
    lines = [one_line(line) for line in str(text).split("\n")]
    safe = (re.sub(r"([\\`*_|]|(?<=\])\()", r"\\\1", html.escape(line, quote=False)) for line in lines)
    return "<br>".join(safe)
