# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A study, from its runs
#
# Table, verdicts, figures and curves of any study in the results folder. `RESULTS_DIR` names another folder and `STUDY`
# the study; `make notebooks` executes this for each study that has no notebook of its own.

# %%
"""A study from the runs in the results folder."""

import sys
from pathlib import Path

# The project's root, from wherever within it this is executed.
sys.path[:0] = [str(path) for path in (Path.cwd(), *Path.cwd().parents) if (path / "analysis" / "publish.py").is_file()]

from analysis.notebooks import show
from analysis.runs import frame
from analysis.studies import assemble, claims_table, grids
from analysis.studies.figures import curves, panels

results = show.results_folder()
runs = frame.runs(results)
study = show.study(results, runs)
sections = assemble.sections(study, runs, results)

# %% [markdown]
# ## Do its claims hold?
#
# Each claim as a contrast of cells, with its verdict. What a verdict means is said below the table.

# %%
show.tables(map(claims_table.grid, sections))

# %% [markdown]
# ## Table
#
# Errors are those of the last epoch. The number in front is the mean over seeds; brackets hold a 95 % interval, and
# what it covers is said below the table. A section is one protocol: numbers of different ones are not to be subtracted.

# %%
show.tables([*map(grids.pivot, sections), *map(grids.trained_grid, sections)])

# %%
show.figures(panels.BY_NAME[name](section) for section in sections for name in study.figures)

# %% [markdown]
# ## Training curves
#
# Training error is measured on the images as augmented while the weights move, so the evaluated error of an epoch may
# lie below it.

# %%
show.figures(curves.by_cell(section, results) for section in sections)
