"""Hardware, software and time that the runs of a protocol recorded; nothing of the machine that makes the page."""

from collections.abc import Sequence

import pandas as pd

from ablations.core.console import duration
from ablations.store.plans import Plan
from analysis.report.folds import LONG, Facts, shared_facts
from analysis.runs.provenance import RunOrigin
from analysis.runs.text import plural, shorten

VARIANTS = 8
"""Values of one fact that are listed."""


def describe(rows: pd.DataFrame, runs: Sequence[RunOrigin], plans: Sequence[Plan]) -> Facts:
    """Facts with their values, and of how many runs each where they differ."""
    known = [run for run in runs if run.facts]
    found = [(f"planned, {plan.study}", [(shorten(str(plan.command), LONG), plan.written or "")]) for plan in plans]
    if known:
        times = sorted(run.facts["started"] for run in known if "started" in run.facts)
        span = [times[0]] if times and times[0] == times[-1] else times[:1] + times[-1:]
        found.append(("runs began", [(" to ".join(span), "")]))
    found += shared_facts(
        known,
        VARIANTS,
        lambda same: f"{len(same):,} {plural(len(same), 'run')}",
        lambda name, _: name not in ("device type", "command"),
    )
    found += [("training", [(text, "")]) for text in _effort(rows)]
    return found or [("unknown", [("no run has begun, or none left a provenance.json that can be read", "")])]


def _effort(rows: pd.DataFrame) -> list[str]:
    """Time and memory of the runs that are done."""
    done = rows[rows["state"] == "done"]
    seconds = pd.to_numeric(done["seconds"], errors="coerce").dropna()
    peak = pd.to_numeric(done["peak_memory_bytes"], errors="coerce").max()
    if seconds.empty:
        return []
    memory = "" if pd.isna(peak) else f"; at most {peak / 1e9:.2f} GB of memory"
    return [
        f"{duration(float(seconds.sum()))} of run time in all, {duration(float(seconds.median()))} a run at the median"
        f"{memory}"
    ]
