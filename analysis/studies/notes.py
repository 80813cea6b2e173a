"""The words around a table: what it was trained on, what its intervals mean, what is missing and why."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ablations.core import presets
from ablations.core.job_state import BAD
from ablations.core.text import plural
from ablations.store.looks import Looks
from analysis.runs.cell import Cell
from analysis.runs.study import Study, words
from analysis.stats.alpha_spending import HOW_SIMULATED, UNPLANNED
from analysis.stats.intervals import EXAMPLES, LEVEL, SEEDS
from analysis.stats.sample import ALIKE
from analysis.stats.signal import SignalAndNoise
from analysis.studies import gains, selection

LISTED = 12
"""Runs that are named one by one; of more, only the number is given."""

ON_SEEDS = (
    "Brackets over several seeds: 95 % t interval, standard deviation pooled over all cells of one width; "
    "it says what other seeds would give on the same test images."
)
ON_EXAMPLES = (
    "Brackets marked ‡: one seed, 95 % interval from its test images alone; run-to-run variation is not covered."
)


def title(rows: pd.DataFrame) -> str:
    """A protocol in a few words: `glyphs 24x24, 2,000 training images, 8 epochs`.

    Where the folder has several protocols, what else sets this one apart follows: `, label smoothing 0.1`.
    """
    first = rows.iloc[0]
    return _data(first) + _apart(first, _data(first))


def scope(rows: pd.DataFrame, table: pd.DataFrame) -> str:
    """A protocol in one sentence, with the seeds that are done."""
    first = rows.iloc[0]
    protocol = (
        f"{first['data']}: {first['classes']} classes, {first['train_images']:,} {colour(first)} training images at "
        f"{first['resolution']}×{first['resolution']}, {_epochs(first)}, {first['stem']} stem, {first['precision']}"
    )
    return (
        f"{protocol}{_apart(first, _data(first) + protocol)}; "
        f"top-1 error of the last epoch on {first['test_images']:,} {split(first)} images; "
        f"{seeds_done(table)} a cell (preset {first['preset']}, "
        f"protocol {first['protocol_id']})."
    )


def colour(first: Mapping[Any, Any] | pd.Series) -> str:
    """`grey`, `colour`: the channels of a protocol's images."""
    return {1: "grey", 3: "colour"}.get(first["channels"], f"{first['channels']}-channel")


def seeds_done(cells: pd.DataFrame) -> str:
    """`3 seeds`, `3 to 5 seeds`, `0 to 1 of 3 planned seeds`: done of those planned, in a cell that was planned.

    Of all cells when none was planned; cells that were not are marked in the table itself.
    """
    shown = cells[cells["seeds_planned"] > 0] if cells["seeds_planned"].any() else cells
    done, planned = (
        f"{least} to {most}" if least != most else f"{most}"
        for least, most in ((shown[name].min(), shown[name].max()) for name in ("seeds_done", "seeds_planned"))
    )
    if (shown["seeds_done"] < shown["seeds_planned"]).any():
        return f"{done} of {planned} planned {plural(int(shown['seeds_planned'].max()), 'seed')}"
    return f"{done} {plural(int(shown['seeds_done'].max()), 'seed')}"


def on_intervals(study: Study, table: pd.DataFrame, gain: pd.DataFrame) -> list[str]:
    """What the brackets mean, and how wide seeds spread at each width."""
    kinds = {*table["interval"], *gain["interval"]}
    text = [ON_SEEDS.replace("one width", shared(study))] if SEEDS in kinds else []
    text += [ON_EXAMPLES] if EXAMPLES in kinds else []
    text += [gains.RULE] if study.gain else []
    text += [_spread(table, study)] if table["df"].gt(0).any() else []
    unlike = table.loc[table["levene_p"] < ALIKE].to_dict("records")
    if unlike:
        places = dict.fromkeys(_pool(row, study).but({"structure": None}).name or "all" for row in unlike)
        text.append(
            f"At {', '.join(places)} the cells spread differently (Levene): each interval "
            "there has its cell's own standard deviation, differences are Welch's."
        )
    return text


def on_gaps(study: Study, rows: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    """What is not planned, and which runs are not done and why."""
    text = []
    if not selection.planned_for(study.name, rows).any():
        text.append(
            f"The {study.name} study has not been planned under this protocol: what is here was trained for other "
            f"tables. make ablation-{study.name} PRESET={rows['preset'].iloc[0] if len(rows) else 'quick'} trains the "
            "rest."
        )
    elif (table["seeds_planned"] == 0).any():
        text.append("Cells marked “not planned” were left out of the sweep; the grid is the paper's.")
    bad = rows[rows["state"].isin(BAD)]
    text += [_reason(run, study) for run in bad.head(LISTED).to_dict("records")]
    if len(bad) > LISTED:
        text.append(f"{len(bad) - LISTED} more runs failed: make status lists them.")
    waiting = int((~rows["state"].isin(("done", *BAD))).sum())
    if waiting:
        text.append(
            f"{waiting} planned {plural(waiting, 'run')} not done yet; the same sweep again trains what is missing."
        )
    return text


def on_preset(rows: pd.DataFrame) -> list[str]:
    """What the preset says about its results."""
    first = rows.head(1).to_dict("records")
    return list(filter(None, [presets.note(str(one["preset"]), str(one["data"])) for one in first]))


def on_origin(rows: pd.DataFrame) -> list[str]:
    """Devices and commits of the runs that are done, and a warning where these differ."""
    done = rows[rows["state"] == "done"]
    if done.empty:
        return []
    devices = sorted({str(device).split(": ")[-1] for device in done["device"].dropna()})
    commits = sorted(done["commit"].dropna().unique())
    text = [f"Trained on {'; '.join(devices)}."] if devices else []
    if len(commits) > 1:
        text.append(f"Runs come from {len(commits)} commits: {', '.join(commit[:10] for commit in commits)}.")
    elif commits:
        text.append(f"Code at commit {commits[0][:10]}.")
    dirty = int(done["dirty"].eq(True).sum())
    if dirty:
        text.append(f"{dirty} {plural(dirty, 'run')} trained with uncommitted changes.")
    return text


def on_left_out(rows: pd.DataFrame) -> list[str]:
    """How many images of a split no run could use, as the results of its runs say."""
    found: dict[str, set[tuple[int, int]]] = {}
    for by_split in rows["images_left_out"]:
        for split, counts in by_split.items() if isinstance(by_split, dict) else ():
            if isinstance(counts, list) and len(counts) == 2 and all(type(count) is int for count in counts):
                found.setdefault(str(split), set()).add((counts[0], counts[1]))
    names = {"train": "training", "val": "validation"}
    return [
        f"{left_out:,} of {listed:,} {names.get(split, split)} {plural(listed, 'image')} "
        f"{'was' if left_out == 1 else 'were'} left out, since {'it does' if left_out == 1 else 'they do'} not decode."
        for split, pairs in found.items()
        for left_out, listed in sorted(pairs)
    ]


def on_looks(seen: Looks) -> list[str]:
    """How often the verdicts of a study were read, and what that does to their rate of error; one look is no matter."""
    plan, done, every = seen.plan, len(seen.planned), sum(look.can_decide for look in seen.taken)
    text = []
    if plan and not done:
        numbers = ", ".join(map(str, plan.numbers))
        text.append(
            f"Looks are planned at {numbers} seeds a cell. The first is not complete, so nothing is decided yet."
        )
    elif plan:
        look = seen.planned[-1]
        further = "It was the last." if seen.over else "Cells that open claims need get more seeds."
        text.append(
            f"Look {done} of at most {len(plan.numbers)}, planned: {plan.numbers[done - 1]} of at most {plan.most} "
            f"seeds a cell. Of the {1 - LEVEL:.0%} of studies that may be wrong, {100 * (look.spent or 0):.2g} points "
            f"are spent. {further}"
        )
    if every > max(1, done):
        rate = UNPLANNED[min(every, max(UNPLANNED))]
        more = " or more" if every > max(UNPLANNED) else ""
        which = f"{every - done} of them unplanned" if done else "unplanned"
        text.append(
            f"These verdicts were read {every} times with growing numbers of seeds, {which}. Who goes on until a claim "
            f"is decided is wrong in about {rate:.0%} of studies{more}, not in {1 - LEVEL:.0%} ({HOW_SIMULATED}). "
            "Looks that are planned beforehand keep the rate: SEEDS=3..8."
        )
    return text


def on_signal(found: SignalAndNoise, study: Study) -> str:
    """Whether data and budget can tell cells apart."""
    seeds, ratio = f"{found.seeds} {plural(found.seeds, 'seed')} a cell", found.signal / found.noise
    said = (
        f"{study.title}, signal and noise: the true errors of the cells of {shared(study)} spread by "
        f"{found.signal:.2f} points, seeds of a cell by {found.noise:.2f} (standard deviations, ratio {ratio:.1f}). "
    )
    if not found.seeds_needed:
        return (
            f"{said}Cells differ no more than seeds do: this data and budget decide no claim about their differences."
        )
    reach = f"With {seeds}, one comparison finds {found.least:.1f} points with a chance of 80 %; two cells differ by"
    enough = found.least <= found.usual
    so = (
        "can decide such claims"
        if enough
        else f"can hardly decide such claims: that takes {max(found.seeds_needed, found.seeds + 1):,} seeds or more"
    )
    return f"{said}{reach} {found.usual:.1f} (root mean square). This data and budget {so}."


def orphans(frame: pd.DataFrame) -> list[str]:
    """Run folders that no table can show, since nothing says which cell they are."""
    lost = frame[frame["structure"].isna()]
    return [str(reason) for reason in lost["reason"].head(LISTED)]


def shared(study: Study) -> str:
    """Whose standard deviation is pooled: cells of `one width`, of `one label smoothing and width`."""
    return f"one {' and '.join(words(axis) for axis in study.pool[1:])}" if study.pool[1:] else "this table"


def without(protocol: str, study: Study) -> str:
    """The name of a protocol without the axes that a study varies."""
    varied = [words(axis) for axis in study.elsewhere]
    return ", ".join(part for part in protocol.split(", ") if not any(word in part for word in varied))


def _pool(row: Any, study: Study) -> Cell:
    return Cell.of({axis: row[axis] for axis in study.pool})


def _spread(part: pd.DataFrame, study: Study) -> str:
    """Standard deviation by row, with degrees of freedom and Levene's p; a range where each cell has its own."""
    said = []
    for _, same in part[part["df"] > 0].groupby(list(study.pool), sort=False):
        one = same.iloc[0]
        levene = f", Levene p {one['levene_p']:.2f}" if pd.notna(one["levene_p"]) else ""
        low, high = same["sd"].min(), same["sd"].max()
        sd = f"{low:.2f}" if low == high else f"{low:.2f} to {high:.2f}"
        said.append(f"{_pool(one, study).name or 'all cells'} {sd} (df {one['df']}{levene})")
    return f"Standard deviation between seeds in points: {'; '.join(said)}."


def _reason(run: Mapping[Any, Any], study: Study) -> str:
    name = study.cell(run).but({"stem_channels": None}).name
    return f"{name}, seed {run['seed']}: {run['state']}: {run['reason']}"


def _data(first: pd.Series) -> str:
    size = f"{first['resolution']}×{first['resolution']}"
    return f"{first['data']} {size}, {first['train_images']:,} training images, {_epochs(first)}"


def _apart(first: pd.Series, said: str) -> str:
    """What sets a protocol apart from the others in the folder, without what is said already: `, lr 0.01`."""
    return "".join(f", {part}" for part in str(first["protocol"]).split(", ") if part and part not in said)


def _epochs(first: pd.Series) -> str:
    return f"{first['epochs']} {plural(int(first['epochs']), 'epoch')}"


def split(first: Mapping[Any, Any] | pd.Series) -> str:
    """The split that a protocol evaluates on: `test`, `validation`."""
    return {"val": "validation"}.get(str(first["evaluate"]), str(first["evaluate"]))
