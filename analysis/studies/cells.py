"""From runs to cells: mean error with its interval, seeds done and failed, cost, and the paper's number beside it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from ablations.core.job_state import BAD, FAILURES
from ablations.core.text import plural
from analysis import paper
from analysis.runs.cell import AXES, Cell
from analysis.runs.macs import at_224, costs, subject
from analysis.runs.study import Study
from analysis.stats.intervals import NONE, Interval, Spread, over_examples, over_seeds
from analysis.stats.sample import Sample, by_cell

PROTOCOL = ("data", "classes", "train_images", "test_images", "evaluate", "resolution", "stem", "precision", "epochs")

COLUMNS = (
    *("study", "width", "groups", "shuffle", "macs", "params", "error_mean", "error_low", "error_high"),
    *("seeds_done", "seeds_planned", "seeds_failed", "paper_error"),
    *("state", "interval", "sd", "df", "levene_p", "seeds", "macs_224", "params_224", "paper_macs"),
    *("structure", "stem_channels", "preset", *PROTOCOL, "protocol_id", "cell_id"),
)
"""Columns of table2.csv and table3.csv, the first thirteen fixed by name and order; then axes of another study."""


def summarise(
    study: Study, rows: pd.DataFrame, keys: Iterable[Cell], results: Path, sample: Sample, measure: bool = True
) -> pd.DataFrame:
    """One row per cell of `keys`, from the runs `rows` of one protocol and their `sample`; `measure` as for macs.costs.

    Columns:
        macs, params: multiply-adds of one image and parameters of the network as trained; macs_224, params_224: with
            the paper's input, stem and classes; paper_macs: what the paper prints for that.
        error_mean, error_low, error_high: top-1 error at the last epoch in percent, with its 95 % interval.
        interval: what the interval is over: `seeds` (t, standard deviation `sd` in points pooled over all cells of one
            width, of both studies, with `df` degrees of freedom; where `levene_p`, that they share it, is small, the
            cell's own), `examples` (Wilson, of one seed's test images: run-to-run variation not covered), or empty
            where there is none.
        seeds_done, seeds_planned, seeds_failed: planned are the seeds of the latest plans and of runs that exist;
            failed are those whose last attempt failed, diverged or was killed. state: the same in words.
    """
    cells = list(keys)
    found = by_cell(rows, study)
    runs = [rows.loc[found.get(key, [])] for key in cells]
    done = [part.loc[part["state"] == "done"] for part in runs]
    first = rows.iloc[0]
    given = [int(first[name]) for name in ("channels", "resolution", "classes")]
    trained = [subject(key, str(first["stem"]), *given) for key in cells]
    published = [at_224(key) for key in cells]
    known = costs(results, [*trained, *published], measure)
    table = []
    for k, key in enumerate(cells):
        spread = sample.spread(sample.ref(key))
        mean, costs_of = _interval(done[k], spread), (("", known[trained[k]]), ("_224", known[published[k]]))
        printed = study.paper(key)
        usual = study.defaults_of(key.get("structure"))
        plain = all(axis in AXES or "." in axis or value == usual.get(axis) for axis, value in key.values)
        ours = plain and key.get("structure") == "shufflenet"
        complexity = paper.complexity(key["width"], key["groups"])[0] if ours else None
        table.append(
            {
                **dict(key.values),
                **{name: first[name] for name in ("protocol_id", "preset", *PROTOCOL)},
                **{"study": study.name, "error_mean": mean.mean, "error_low": mean.low, "error_high": mean.high},
                **{"interval": mean.kind, "sd": spread.sd, "df": spread.df, "levene_p": spread.levene_p},
                **_count(runs[k]),
                **{f"{name}{at}": getattr(cost, name, None) for at, cost in costs_of for name in ("macs", "params")},
                "paper_macs": complexity,
                "paper_error": printed.value if printed else None,
            }
        )
    return _typed(pd.DataFrame(table, columns=[*COLUMNS, *(axis for axis in study.axes if axis not in COLUMNS)]))


def _interval(done: pd.DataFrame, spread: Spread) -> Interval:
    """Mean error of a cell in percent: over seeds where any cell of its width has two, else over test examples.

    No further than 0 and 100 %, which t does not know of.
    """
    found = over_seeds((100 * done["error"]).tolist(), spread)
    if found.kind == NONE and len(done) == 1:
        one = over_examples(float(done["error"].iloc[0]), int(done["tested"].iloc[0]))
        return Interval(100 * one.mean, 100 * one.low, 100 * one.high, one.kind)
    if found.kind == NONE:
        return found
    return Interval(found.mean, max(0.0, found.low), min(100.0, found.high), found.kind)


def _count(runs: pd.DataFrame) -> dict[str, Any]:
    """Seeds done, planned and failed, in numbers and in words."""
    states = runs["state"].value_counts()
    done, planned = int(states.get("done", 0)), len(runs)
    bad = [f"{states[state]} {state}" for state in BAD if state in states]
    words = f"{done} of {planned} {plural(planned, 'seed')}"
    if not (done or bad):
        words = f"not run, {planned} planned" if planned else "not planned"
    return {
        "seeds_done": done,
        "seeds_planned": planned,
        "seeds_failed": int(sum(states.get(state, 0) for state in FAILURES)),
        "seeds": " ".join(str(seed) for seed in sorted(runs.loc[runs["state"] == "done", "seed"].astype(int))),
        "state": ", ".join([words, *bad]),
        "cell_id": runs["cell_id"].iloc[0] if planned else "",
    }


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """Whole numbers as such (absent ones too), the others rounded so that text and numbers agree everywhere."""
    whole = ["macs", "params", "macs_224", "params_224", "paper_macs", "classes", "train_images", "test_images"]
    table[[*whole, "resolution", "epochs"]] = table[[*whole, "resolution", "epochs"]].astype("Int64")
    real = ["error_mean", "error_low", "error_high", "sd", "levene_p", "paper_error"]
    table[real] = table[real].astype(float).round(4)
    return table
