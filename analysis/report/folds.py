"""What runs recorded, collapsed on the page: of a cell or a gain, and hardware, software and time of a protocol.

Nothing of the machine that makes the page.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import pandas as pd
from markupsafe import Markup

from ablations.core.console import duration
from ablations.core.text import plural, shorten
from ablations.store.plans import Plan
from analysis.report.drilldown import CellOrigin, GainOrigin, Shown, difference
from analysis.runs.cell import AXES, Cell, own_stem
from analysis.runs.provenance import RunOrigin, seeds, values
from analysis.runs.study import Gain

RUNS = 10
"""Runs of a cell that the page lists; make explain has the rest."""

GAPS, VARIANTS, LONG = 6, 3, 301
"""Limits of the page: sentences on missing runs of a cell, values of one fact, characters of a text from a run."""

LISTED = 8
"""Values of one fact of all runs that are listed."""


Facts = list[tuple[str, list[tuple[str, str]]]]
"""Names, each with its values and whose they are."""


@dataclass(frozen=True)
class Fold:
    """What the template shows of a cell or a gain, `of`, beside that one's own fields."""

    of: CellOrigin | GainOrigin
    number: str
    gaps: Sequence[str]
    shown: Sequence[Shown]
    facts: Facts
    heads: tuple[str, ...]
    rows: list[tuple[str, ...]]
    more: str


def cell_fold(cell: CellOrigin, in_full: bool) -> Fold:
    """Details of a cell that has runs; they are listed one by one only if `in_full`."""
    done = [run for run in cell.runs if run.done]
    listed = done[: RUNS if in_full else 0]
    number = cell.shown[0].text
    return Fold(
        of=cell,
        number="" if number == cell.state else number,
        gaps=_cut(cell.gaps, "missing runs"),
        shown=cell.shown,
        facts=_facts(cell),
        heads=("Seed", "Error (%)", "Started", "Run"),
        rows=[(str(run.seed), percent(run.error), run.facts.get("started", ""), run_link(run)) for run in listed],
        more=_more(len(done), len(listed), _options(cell.key), cell.table),
    )


def run_link(run: RunOrigin) -> str:
    """The id of a run, with links to its folder and log where these lie beside the page."""
    if not run.log:
        return run.run_id
    folder = f"runs/{quote(run.run_id)}"
    return Markup('<a href="{}/">{}</a> <a href="{}/log.txt">log</a>').format(folder, run.run_id, folder)


def gain_fold(gain: GainOrigin, in_full: bool) -> Fold:
    """Details of a gain, with its seeds."""
    listed = gain.seeds[: RUNS if in_full else 0]
    links = Markup(", ").join(Markup('<a href="#{}">{}</a>').format(arm.anchor, arm.name) for arm in gain.arms)
    return Fold(
        of=gain,
        number=f"{gain.shown.text} points",
        gaps=(),
        shown=(gain.shown,),
        facts=[("cells", [(links, "")])],
        heads=("Seed", *(f"{arm.capitalize()} (%)" for arm in arms(gain.by)), "Gain (points)"),
        rows=[(str(seed), percent(off), percent(on), difference(off, on)) for seed, off, on in listed],
        more=_more(len(gain.seeds), len(listed), _options(gain.key), gain.table),
    )


def arms(gain: Gain) -> tuple[str, str]:
    """The arms in a word each: `without`, `with`; else their values."""
    return ("without", "with") if gain.better is True else (str(gain.worse), str(gain.better))


def _facts(cell: CellOrigin) -> Facts:
    """Provenance of a cell's runs, differing values with their seeds."""
    found = _shared_facts(cell.runs, VARIANTS, seeds, lambda name, count: name != "device type" or count > 1)
    found += [("fingerprint", [(shorten(cell.fingerprint, LONG), "")])] if cell.fingerprint else []
    return [*found, ("cell", [(cell.cell_id, "")])]


def describe(rows: pd.DataFrame, runs: Sequence[RunOrigin], plans: Sequence[Plan]) -> Facts:
    """Facts with their values, and of how many runs each where they differ."""
    known = [run for run in runs if run.facts]
    found = [(f"planned, {plan.study}", [(shorten(str(plan.command), LONG), plan.written or "")]) for plan in plans]
    if known:
        times = sorted(run.facts["started"] for run in known if "started" in run.facts)
        span = [times[0]] if times and times[0] == times[-1] else times[:1] + times[-1:]
        found.append(("runs began", [(" to ".join(span), "")]))
    found += _shared_facts(
        known,
        LISTED,
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


def _shared_facts(
    runs: Iterable[RunOrigin],
    most: int,
    whose: Callable[[Sequence[RunOrigin]], str],
    shown: Callable[[str, int], bool],
) -> Facts:
    """Facts of runs, versions that all share in one line.

    Args:
        most: values of a fact that are listed, each with `whose` it is where there are several.
        shown: whether a fact is, by its name and number of values.
    """
    known = [run for run in runs if run.facts]
    packages = {name for run in known for name in run.versions}
    found, alike = [], []
    for name, by_value in values(known).items():
        if name in packages and len(by_value) == 1:
            alike.append(f"{name} {shorten(next(iter(by_value)), LONG)}")
        elif shown(name, len(by_value)):
            found.append((name, _first_values(by_value, most, whose)))
    return found + ([("versions", [(", ".join(alike), "")])] if alike else [])


def _first_values(
    by_value: Mapping[str, Sequence[RunOrigin]], most: int, whose: Callable[[Sequence[RunOrigin]], str]
) -> list[tuple[str, str]]:
    several = len(by_value) > 1
    shown = [(shorten(value, LONG), whose(runs) if several else "") for value, runs in list(by_value.items())[:most]]
    return shown + ([(f"{len(by_value) - most} more", "")] if len(by_value) > most else [])


def _cut(texts: Sequence[str], what: str) -> list[str]:
    shown = [shorten(text, LONG) for text in texts[:GAPS]]
    return shown + ([f"{len(texts) - GAPS} more {what}."] if len(texts) > GAPS else [])


def _options(key: Cell) -> str:
    """The arguments by which make explain finds a cell."""
    usual = [(axis, key.get(axis)) for axis in ("groups", "width") if key.get(axis) is not None]
    others = [f"{axis}={json.dumps(value)}" for axis, value in key.values if axis not in AXES]
    words = [f"--{axis} {value:g}" for axis, value in usual]
    words += [f"--structure {key['structure']}"] if key.get("structure", "shufflenet") != "shufflenet" else []
    words += [f"--stem-channels {key['stem_channels']:g}"] if own_stem(key) else []
    return " ".join([*words, *(["--cell", *others] if others else [])])


def _more(there: int, listed: int, options: str, table: str) -> str:
    if there <= listed:
        return ""
    return f"{there - listed:,} more: python -m analysis.explain {table} {options} lists them all."


def percent(error: float | None) -> str:
    """An error of one seed in percent; empty where there is none."""
    return "" if error is None else f"{error:.2f}"
