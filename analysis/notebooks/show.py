"""Functions for notebooks: find the results folder, show tables and figures."""

import base64
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from ablations.core.errors import UserError
from ablations.core.paths import CHECKOUT, ROOT
from ablations.store.plans import read_plans
from analysis.runs.study import Study, studies
from analysis.studies.figures.style import png
from analysis.studies.grids import Grid
from analysis.studies.render import STYLE, html_table


@dataclass(frozen=True)
class Html:
    """HTML that Jupyter shows as the output of a cell."""

    text: str

    def _repr_html_(self) -> str:
        return self.text


def results_folder() -> Path:
    """The folder that RESULTS_DIR names, `results` without it; in a checkout, relative ones start at its root."""
    return (ROOT if CHECKOUT else Path()) / os.environ.get("RESULTS_DIR", "results")


def study(results: Path, runs: pd.DataFrame) -> Study:
    """The study that STUDY names, of those in a results folder; the last of them without it.

    Args:
        runs: what frame.runs gives for the folder.
    """
    found = {one.name: one for one in studies(read_plans(results), runs["belongs_to"])}
    name = os.environ.get("STUDY") or list(found)[-1]
    if name not in found:
        raise UserError(f"{results} has no study {name}; STUDY names one of {', '.join(found)}.")
    return found[name]


def tables(grids: Iterable[Grid]) -> Html:
    """All tables with their notes, as one output; the style of published tables holds within it alone (CSS nesting)."""
    shown = "".join(map(html_table, grids))
    return Html(f'<style>.ablation {{{STYLE}}}</style><div class="ablation">{shown}</div>')


def figures(figures: Iterable[Figure]) -> Html:
    """All figures as one output, at the size that they are drawn for."""
    return Html("".join(_image(figure) for figure in figures))


def _image(figure: Figure) -> str:
    title = figure.texts[0].get_text() if figure.texts else "figure"
    data, width = base64.b64encode(png(figure)).decode(), round(96 * figure.get_figwidth())
    return f'<p><img alt="{title}" width="{width}" src="data:image/png;base64,{data}"></p>\n'
