"""Figures are drawn by our own backend, whatever MPLBACKEND names."""

import subprocess
import sys

import pytest

from ablations.core.paths import ROOT
from tests.sweeps import environment

MODULES = (
    *("analysis.report.forest", "analysis.latency.figure", "analysis.notebooks.show"),
    *("analysis.studies.figures.panels", "analysis.studies.figures.curves"),
)


@pytest.mark.parametrize("module", MODULES)
def test_an_unknown_backend_ends_nothing(module: str) -> None:
    """Each module is the first to import matplotlib."""
    code = (
        f"import {module}; from analysis.studies.figures import style; drawn = style.figure(3, 2, 'title', '');"
        "assert style.svg(drawn).startswith(b'<?xml') and style.png(drawn).startswith(b'\\x89PNG')"
    )
    surroundings = {**environment(), "MPLBACKEND": "nosuch"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=surroundings, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_notebooks_own_backend_stays() -> None:
    code = "import os, analysis; assert os.environ['MPLBACKEND'] == 'module://matplotlib_inline.backend_inline'"
    surroundings = {**environment(), "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=surroundings, check=True)
