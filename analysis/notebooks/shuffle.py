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
# # Does channel shuffle help?
#
# Stacked group convolutions keep the channels of a group to themselves: an output channel never learns what the other
# groups saw. Channel shuffle deals the channels of every group out to all groups of the next layer; it costs no
# parameters and no multiply-adds. The paper's Table 3 trains the same networks with and without it: shuffle lowers the
# error everywhere, and more so with eight groups than with three.
#
# This notebook shows the same table from the runs in the results folder. `RESULTS_DIR` names another folder;
# `make notebooks` executes it anew.

# %%
"""Table 3 from the runs in the results folder."""

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
sections = assemble.sections("shuffle", runs, results)

# %% [markdown]
# ## Does it hold here?
#
# Each of the paper's claims about shuffle, as a contrast of cells, with its verdict. What a verdict means is said below
# the table; `analysis/claims.yaml` holds the claims.

# %%
show.tables(map(claims_table.grid, sections))

# %% [markdown]
# ## Table 3
#
# Both arms of a seed start from the same weights and see the same images in the same order and crops. That makes their
# errors go up and down together less than one would think (see results/reference/pilot-pairing), so seeds are paired
# only where there are enough of them for it to pay. Brackets hold a 95 % interval; what it covers is said below the
# table. An interval that holds 0 does not say that shuffle does nothing, only that these runs do not show what it does.

# %%
show.tables(map(grids.pivot, sections))

# %%
show.figures(map(panels.gain, sections))

# %% [markdown]
# The paper's gains are ImageNet's, in the same unit, percentage points of top-1 error. How large a gain is depends on
# the data and on how long one trains: compare signs and order across them rather than sizes.

# %% [markdown]
# ## Training curves
#
# Arms that part early and stay apart say more than a difference at the last epoch alone.

# %%
show.figures(curves.curves(section.runs, results, section.title) for section in sections)
