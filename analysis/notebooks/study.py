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
# Verdicts, table, figures and curves of any study in the results folder: the paper's number of groups (Table 2) and
# channel shuffle (Table 3), or one of your own. `RESULTS_DIR` names another folder and `STUDY` the study;
# `make notebooks` executes this for each study of the folder.

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
# ## Runs
#
# Every run that a plan names or that has a folder, by protocol and state. A table shows a run that is not done in its
# cell; none is left out silently.

# %%
runs.groupby(["data", "epochs", "preset", "protocol_id", "state"]).size().rename("runs").reset_index()

# %% [markdown]
# ## Complexity
#
# A comparison is fair while the networks that it compares cost the same. The numbers are multiply-adds of convolutions
# and of fully connected layers, which is what the paper calls FLOPs.

# %%
papers = [grids.complexity_grid(assemble.table1(results))] if study.built_in else []
show.tables([*papers, *grids.trained_grids(sections)])

# %% [markdown]
# ## Table
#
# Errors are those of the last epoch, never of the best one on the test images. The number in front is the mean over
# seeds; brackets hold a 95 % interval, and what it covers is said below the table. A section is one protocol: data,
# recipe, resolution, stem and precision. Numbers of different protocols, and a paper's, are not to be subtracted from
# each other: how large an effect is depends on the data and on how long one trains. What can be compared is its sign,
# and whether a row rises or falls. An interval of a gain that holds 0 does not say that nothing is gained, only that
# these runs do not show what is.

# %%
show.tables(map(grids.pivot, sections))

# %%
show.figures(getattr(panels, name)(section) for section in sections for name in study.figures)

# %% [markdown]
# ## Training curves
#
# Training error is measured on the images as augmented while the weights move, so the evaluated error of an epoch may
# lie below it.

# %%
show.figures(
    curves.curves(section.runs, results, section.title) if study.built_in else curves.by_cell(section, results)
    for section in sections
)
