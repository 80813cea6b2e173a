"""LaTeX: nothing of a result is read as a command, and no table is wider or taller than a page of two columns."""

import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from analysis import publish
from analysis.runs import macs
from analysis.studies.grids import Grid
from analysis.studies.latex import latex
from tests import latency_fixture
from tests import results_fixture as fixture
from tests.studies.test_render import HOSTILE, grid

TEXT = "Seven networks of some width, each with more groups than the one before it, have less error than the first one."
DOCUMENT = r"""\documentclass[%s,twocolumn]{article}
\usepackage{adjustbox, booktabs, makecell}
%s
\begin{document}
%s
\end{document}
"""


def _has_packages() -> bool:
    names = [f"{name}.sty" for name in ("adjustbox", "booktabs", "makecell")]
    return bool(shutil.which("pdflatex")) and subprocess.run(["kpsewhich", *names], capture_output=True).returncode == 0


def test_latex_is_escaped() -> None:
    text = latex("Page", [grid()])
    assert r"a$|$b `c` \_d\_ 100\% \$x\$ \#1 \{y\} \textbackslash{}z" in text
    assert r"1x & \makecell[rt]{32.6 \\ {[}31.9, 33.3{]} \\ 3 of 3 seeds} \tabularnewline" in text
    assert text.count(r"\begin{") == text.count(r"\end{")
    two = latex("Page", [grid(2)])
    assert r"\multicolumn{1}{c}{} & \multicolumn{1}{c}{Ours} \tabularnewline \cmidrule(lr){2-2}" in two
    assert r"$\Delta$ (points) \tabularnewline" in two


@pytest.mark.skipif(not _has_packages(), reason="LaTeX and its packages are not installed (texlive-latex-extra)")
def test_greek_letters_and_inequalities_of_a_claim_can_be_typeset(tmp_path: Path) -> None:
    said = "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩ ≥ ≤ − | < >"
    frame = pd.DataFrame({"Claim": [said], "Verdict": ["supported"]})
    (tmp_path / "greek.tex").write_text(latex(said, [Grid("greek", said, frame, (said,))]))
    _typeset(tmp_path, DOCUMENT % ("a4paper", "", r"\input{greek}"))


def test_a_table_in_latex_to_the_letter() -> None:
    frame = pd.DataFrame({"Network": ["ShuffleNet 1x"], "g=1": ["33.6"]})
    assert latex("T", [Grid("groups-1", "Table 2. Errors", frame, ("One.", "Two."))]) == (
        "% T; needs \\usepackage{adjustbox, booktabs, makecell}\n\n"
        "\\begin{table*}[t]\n\\centering\\footnotesize\\setlength{\\tabcolsep}{3pt}\n"
        "\\caption{Errors}\n\\label{tab:groups-1}\n"
        "\\begin{adjustbox}{max width=\\textwidth, max totalheight=0.7\\textheight}\n\\begin{tabular}{lr} \\toprule\n"
        "Network & g=1 \\tabularnewline \\midrule\nShuffleNet 1x & 33.6 \\tabularnewline \\addlinespace[1pt]\n"
        "\\bottomrule \\end{tabular}\n\\end{adjustbox}\n"
        "\\par\\smallskip\\begin{minipage}{\\textwidth}\\raggedright\nOne. Two.\n\\end{minipage}\n"
        "\\end{table*}\n"
    )


def test_a_table_is_split_between_rows_and_between_columns() -> None:
    frame = pd.DataFrame([[f"{k}x", "ours", *["12.34 [12.30, 12.41]"] * 18] for k in range(40)])
    frame.columns = ["Network", "", *(f"g={g}" for g in range(18))]
    parts = latex("T", [Grid("wide", "Wide", frame, ("Last.",))]).split(r"\begin{table*}")[1:]
    heads = [next(line for line in part.splitlines() if line.startswith("Network & ")) for part in parts]
    shown = [[head in line.split(" ") for line in heads] for head in (f"g={g}" for g in range(18))]
    assert all(where in ([True, False] * 2, [False, True] * 2) for where in shown), "two halves of columns, twice"
    assert [f"Wide (part {k} of 4)" in part for k, part in enumerate(parts, start=1)] == [True] * 4
    rows = [re.findall(r"^\d+x & ours", part, re.MULTILINE) for part in parts]
    assert rows[0] == rows[1] and rows[2] == rows[3] and len(rows[0] + rows[2]) == 40
    assert ["Last." in part for part in parts] == [False, False, False, True]


def odd() -> list[Grid]:
    """Tables too wide for a line, too long for a page, of long words and long cells, and of almost nothing."""
    cell = "× 12.34 [12.30, 12.41]\n1 of 3 seeds, 1 failed, 1 diverged"
    wide = pd.DataFrame([[f"ShuffleNet {k}x", "ours", *[cell] * 14] for k in range(12)])
    wide.columns = ["Network", "", *(f"g={g}" for g in range(14))]
    spanned = pd.DataFrame([["a" * 50, *["12.34 [12.30, 12.41]"] * 24] for _ in range(5)])
    tops = [f"{k}, one image, in the kernels of this project (avx512) ({'x' * 30})" for k in range(8)]
    spanned.columns = pd.MultiIndex.from_tuples(
        [("", "Network"), *((top, f"No shuffle {k}") for top in tops for k in "abc")]
    )
    claims = pd.DataFrame([[TEXT, "inconclusive", "+0.4 [−1.0, +1.0] tau", "0.826", f"{TEXT} {'y' * 90}"]] * 60)
    claims.columns = ["Claim", "Verdict", "Effect", "p", "Note"]
    return [
        Grid("wide", "Table 9. Wide", wide, (TEXT,) * 9),
        Grid("spanned", "Spanned", spanned, ("z" * 200,)),
        Grid("claims", f"Claims {HOSTILE}", claims, (HOSTILE,), prose=True),
        Grid("empty", "Empty", wide.iloc[:0], ()),
        Grid("narrow", "Narrow", wide[["Network"]], ()),
        grid(2),
    ]


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The published tables of a study with failures and inference times, and the odd ones."""
    monkeypatch.setattr(macs, "_measure", fixture.cheap_costs)
    results = tmp_path / "results"
    fixture.plausible(results, seeds=3)
    for seed, state in enumerate(("failed", "diverged", "killed")):
        one = fixture.run(4, 0.5, seed=seed)
        (results / "runs" / one.run_id / "result.json").unlink()
        fixture.write_failure(results, one, state, "out of memory")
    latency_fixture.write(results)
    publish.tables_first(results)
    (results / "tables" / "odd.tex").write_text(latex("Odd", odd()))
    return results / "tables"


NATURAL = r"""\renewenvironment{adjustbox}[1]{\begin{lrbox}{0}}
{\end{lrbox}\typeout{NATURAL \the\wd0 \the\dimexpr\ht0+\dp0}\usebox0}"""
"""Says how large tables are that nothing shrinks."""


@pytest.mark.skipif(not _has_packages(), reason="LaTeX and its packages are not installed (texlive-latex-extra)")
@pytest.mark.parametrize("paper", ["a4paper", "letterpaper"])
def test_every_table_fits_the_page_of_a_two_column_article(tables: Path, paper: str) -> None:
    names = sorted(path.stem for path in tables.glob("*.tex"))
    assert names == ["claims", "latency", "odd", "table1", "table2", "table3"]
    inputs = "\n".join(f"\\input{{{name}}}\\clearpage" for name in names)
    log = _typeset(tables, DOCUMENT % (paper, "", inputs))
    assert not re.findall(r"^(?:Overfull .*|LaTeX Warning: Float too large.*)", log, re.MULTILINE)
    log = _typeset(tables, DOCUMENT % (paper, NATURAL + r"\typeout{PAGE \the\textwidth \the\textheight}", inputs))
    (line, page), *sizes = [
        tuple(map(float, found)) for found in re.findall(r"^(?:PAGE|NATURAL) ([\d.]+)pt([\d.]+)pt", log, re.MULTILINE)
    ]
    smallest = [8 * min(line / width, 0.7 * page / height) for width, height in sizes]
    assert len(sizes) > 20 and min(smallest) >= 5.5, smallest


def _typeset(folder: Path, document: str) -> str:
    """What LaTeX says of a document."""
    (folder / "main.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=120)
    log = (folder / "main.log").read_text(errors="replace")
    assert done.returncode == 0, log[-2000:]
    return log


def test_captions_have_no_number_of_their_own(tables: Path) -> None:
    captions = [line for path in tables.glob("*.tex") for line in path.read_text().splitlines() if "\\caption" in line]
    assert len(captions) > 10 and not [caption for caption in captions if re.search(r"\\caption\{Table \d", caption)]
