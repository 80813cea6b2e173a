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
# # How many groups?
#
# ShuffleNet replaces the dense 1x1 convolutions of a bottleneck by group convolutions. At a fixed complexity, more
# groups buy more channels, and each output channel sees fewer input channels. The paper's Table 2 asks which of the
# two matters more, at three complexities: with more groups the error falls, and it falls most in the smallest networks.
#
# This notebook shows the same table from the runs in the results folder. `RESULTS_DIR` names another folder;
# `make notebooks` executes it anew.

# %%
"""Table 2 from the runs in the results folder."""

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
sections = assemble.sections("groups", runs, results)

# %% [markdown]
# ## Does it hold here?
#
# Each of the paper's claims about groups, as a contrast of cells, with its verdict. What a verdict means is said below
# the table; `analysis/claims.yaml` holds the claims.

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
# A comparison of groups is fair only while all networks of a row cost the same. The numbers are multiply-adds of
# convolutions and of the fully connected layer, which is what the paper calls FLOPs.

# %%
show.tables([grids.complexity_grid(assemble.table1(results)), *map(grids.trained_grid, sections)])

# %% [markdown]
# ## Table 2
#
# Errors are those of the last epoch, never of the best one on the test images. The number in front is the mean over
# seeds; brackets hold a 95 % interval, and what it covers is said below the table. A section is one protocol: data,
# recipe, resolution, stem and precision. Numbers of different protocols, and the paper's, are not to be subtracted from
# each other; what can be compared is whether a row rises or falls.

# %%
show.tables(map(grids.pivot, sections))

# %%
show.figures(map(panels.change_by_axis, sections))

# %%
show.figures(map(panels.error_by_axis, sections))

# %% [markdown]
# ## Error against cost
#
# A network on the front is one that no other beats in both error and multiply-adds. A ring marks those that have less
# error than every cheaper one by more than chance; on the front without a ring, one may be by luck.

# %%
show.figures(map(panels.error_by_macs, sections))

# %% [markdown]
# ## Training curves
#
# Training error is measured on the images as augmented while the weights move, so the evaluated error of an epoch may
# lie below it.

# %%
show.figures(curves.curves(section.runs, results, section.title) for section in sections)
