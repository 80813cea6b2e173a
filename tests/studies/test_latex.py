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
\usepackage{booktabs}
\begin{document}
%s
\end{document}
"""


def test_latex_is_escaped() -> None:
    text = latex("Page", [grid()])
    assert r"a$|$b `c` \_d\_ 100\% \$x\$ \#1 \{y\} \textbackslash{}z" in text
    assert r"1x & \ablationlines{32.6 {[}31.9, 33.3{]} \\ 3 of 3 seeds} \tabularnewline" in text
    assert text.count(r"\begin{") == text.count(r"\end{")
    two = latex("Page", [grid(2)])
    assert r"\multicolumn{1}{c}{} & \multicolumn{1}{c}{Ours} \tabularnewline" in two and r"\cmidrule(lr){2-2}" in two
    assert r"$\Delta$ (points) \tabularnewline" in two


def test_a_table_in_latex_to_the_letter() -> None:
    frame = pd.DataFrame({"Network": ["ShuffleNet 1x"], "g=1": ["33.6"]})
    assert latex("T", [Grid("groups-1", "Table 2. Errors", frame, ("One.", "Two."))]) == (
        "% T; needs \\usepackage{booktabs}\n"
        "\\providecommand{\\ablationlines}[1]{\\begin{tabular}[t]{@{}r@{}}#1\\end{tabular}}\n\n"
        "\\begin{table*}[t]\n\\centering\\small\\setlength{\\tabcolsep}{5pt}\n"
        "\\caption{Errors}\n\\label{tab:groups-1}\n\\begin{tabular}{lr}\n"
        "\\toprule\nNetwork & g=1 \\tabularnewline\n\\midrule\nShuffleNet 1x & 33.6 \\tabularnewline\n"
        "\\bottomrule\n\\end{tabular}\n"
        "\\par\\smallskip\\begin{minipage}{\\textwidth}\\footnotesize\\raggedright\nOne. Two.\n\\end{minipage}\n"
        "\\end{table*}\n"
    )


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


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="LaTeX is not installed (texlive-latex-recommended)")
@pytest.mark.parametrize("paper", ["a4paper", "letterpaper"])
def test_every_table_fits_the_page_of_a_two_column_article(tables: Path, paper: str) -> None:
    names = sorted(path.stem for path in tables.glob("*.tex"))
    assert names == ["claims", "latency", "odd", "table1", "table2", "table3"]
    inputs = "\n".join(f"\\input{{{name}}}\\clearpage" for name in names)
    (tables / "main.tex").write_text(DOCUMENT % (paper, inputs))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main.tex"]
    done = subprocess.run(command, cwd=tables, capture_output=True, text=True, errors="replace", timeout=120)
    log = (tables / "main.log").read_text(errors="replace")
    assert done.returncode == 0, log[-2000:]
    assert not re.findall(r"^(?:Overfull .*|LaTeX Warning: Float too large.*)", log, re.MULTILINE)


def test_captions_have_no_number_of_their_own(tables: Path) -> None:
    captions = [line for path in tables.glob("*.tex") for line in path.read_text().splitlines() if "\\caption" in line]
    assert len(captions) > 10 and not [caption for caption in captions if re.search(r"\\caption\{Table \d", caption)]
