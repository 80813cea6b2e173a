"""Results as tables of pandas: `analysis.load("results")`."""

import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from ablations.core.errors import UserError
from ablations.store.plans import read_plans
from analysis.runs import frame
from analysis.runs.study import Study, studies
from analysis.studies import assemble, claims_table


class Runs(pd.DataFrame):
    """A row for each run, errors in percent; what `load` returns. A part of it (`runs[runs.seed == 0]`) is one, too.

    Columns are those of analysis.runs.frame.runs, but for `belongs_to`, and `path`, the run's folder.
    """

    _metadata = ["results"]  # noqa: RUF012  as pandas asks for it
    results: Path

    @property
    def _constructor(self) -> Callable[..., "Runs"]:
        return Runs

    @property
    def curves(self) -> pd.DataFrame:
        """A row for each run and epoch: run_id, groups, width, shuffle, seed, then metrics.csv, errors in percent.

        Last come the other axes of the networks, which tell a ResNet's rows from a ShuffleNet's.
        """
        names, parts = ("run_id", "groups", "width", "shuffle", "seed"), []
        axes = [axis for axis in frame.variant_axes(self) if axis not in names and axis != "path"]
        for row in self.itertuples():
            file = Path(str(row.path)) / "metrics.csv"
            if file.is_file():
                table = pd.read_csv(file)
                for place, name in enumerate(names):
                    table.insert(place, name, getattr(row, name))
                parts.append(table.assign(**{axis: getattr(row, axis) for axis in axes}))
        curves = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
        return _percent(curves)

    @property
    def verdicts(self) -> pd.DataFrame:
        """A row for each claim and protocol, from all runs in the folder; effects in points, as in claims.json."""
        known, found = self._studies()
        sections = [section for one in found.values() for section in assemble.sections(one, known, self.results)]
        return pd.DataFrame(claims_table.records(sections))

    def table(self, name: str) -> pd.DataFrame:
        """The table of a study from all runs in the folder: a row for each cell, errors in percent.

        Args:
            name: `groups` (Table 2), `shuffle` (Table 3), or another that the folder has.

        Raises:
            ValueError: there is no such study.
        """
        known, found = self._studies()
        if name not in found:
            raise ValueError(f"There is no table {name!r}: choose one of {', '.join(found)}.")
        return assemble.combined(assemble.sections(found[name], known, self.results), "cells")

    def _studies(self) -> tuple[pd.DataFrame, dict[str, Study]]:
        """All runs in the folder, and its studies by name."""
        known = frame.runs(self.results)
        found = studies(read_plans(self.results), ["", *known["belongs_to"]])  # "": the paper's in any case
        return known, {one.name: one for one in found}


def load(results: str | os.PathLike[str]) -> Runs:
    """All runs of a results folder, done or not.

    >>> runs = load(results)
    >>> done = runs[runs.state == "done"]
    >>> done.groupby(["width", "groups"]).error.mean().round(1).to_dict()
    {(0.25, 3): 30.5, (0.25, 8): 30.5}
    >>> done[["groups", "seed", "error", "lr"]].head(2).values.tolist()
    [[3.0, 0.0, 30.0, 0.2], [3.0, 1.0, 31.0, 0.2]]
    >>> runs.table("groups").dropna(subset="error_mean")[["groups", "error_mean", "paper_error"]].values.tolist()
    [[3.0, 30.5, 55.0], [8.0, 30.5, 52.7]]
    >>> runs.curves.columns[:6].tolist()
    ['run_id', 'groups', 'width', 'shuffle', 'seed', 'epoch']
    >>> runs.verdicts[["claim", "verdict"]].shape[1]
    2

    Raises:
        UserError: there is no such folder, or it holds no results, for instance since its study is packed.
    """
    folder = Path(results)
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}.")
    if not any((folder / name).is_dir() for name in ("runs", "plans")):
        raise UserError(
            f"{folder} is no results folder: it has neither runs/ nor plans/. A packed study, such as those under "
            f"results/reference, becomes one by: python -m analysis.reference unpack {folder} FOLDER"
        )
    table = tidy(frame.runs(folder))
    table["path"] = [str(folder / path) for path in table["path"]]
    table.results = folder
    return table


def tidy(known: pd.DataFrame) -> Runs:
    """The table of `load` from the runs of a folder, as frame.runs gives them; paths are relative to that folder."""
    table = Runs(_percent(known.drop(columns="belongs_to")))
    table["path"] = [f"runs/{run_id}" for run_id in table["run_id"]]
    return table


def _percent(table: pd.DataFrame) -> pd.DataFrame:
    """The table with fractions of wrong images as percent."""
    errors = [name for name in table if str(name) == "error" or str(name).endswith("_error")]
    return table.assign(**{str(name): 100 * table[name] for name in errors})
