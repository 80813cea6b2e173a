"""Summary of inference times in sentences: do fewer multiply-adds save time, and what does shuffle cost?"""

from pathlib import Path

import pandas as pd

from ablations.core.json_subprocess import answer_json
from ablations.core.text import counted, plural
from analysis import paper
from analysis.latency.times import WAY, label, read_times

OURS = "this project’s "
"""Begins the name of the compiled kernels, where there is room."""

SAME = 0.005
"""Multiply-adds that differ by less than this share count as as many."""


def sentences(rows: pd.DataFrame) -> list[str]:
    """The answer first, then an example, shuffle, and what a smaller width buys; only what the rows can say."""
    return [text for text in (answer(rows), example(rows), shuffle(rows), width(rows), single(rows)) if text]


def answer(rows: pd.DataFrame) -> str:
    """Over all networks that need fewer multiply-adds than one group at their width."""
    grouped = rows[(rows["groups"] > 1) & rows["shuffle"] & rows["ratio"].notna()]
    if grouped["macs_ratio"].isna().all():
        return ""
    fewer = grouped[grouped["macs_ratio"] < 1 - SAME]
    if fewer.empty:
        return "No network here needs fewer multiply-adds than with one group at its width: there is no time to buy."
    faster = int((fewer["ratio_high"] < 1).sum())
    word = "Yes" if faster == len(fewer) else "No" if not faster else "Mostly" if faster > len(fewer) / 2 else "Seldom"
    parts = [_counted(str(name), same) for name, same in fewer.groupby("engine", sort=False)]
    return (
        f"Does the cheaper count buy time? {word}. Networks that need fewer multiply-adds than one group at the same "
        f"width ({_span(fewer['macs_ratio'])} of them) were {'; '.join(parts)}."
    )


def _counted(name: str, same: pd.DataFrame) -> str:
    """How many measurements of an engine were faster than one group and how many slower, by their quartiles."""
    faster, slower = int((same["ratio_high"] < 1).sum()), int((same["ratio_low"] > 1).sum())
    return (
        f"in {engine(name)} faster than it in {faster} and slower in {slower} of {len(same)} measurements "
        f"({_span(same['ratio'])} of its time)"
    )


def example(rows: pd.DataFrame) -> str:
    """The most groups at the largest width, on each input, by the first engine and the smallest batch."""
    parts = []
    for name, same in rows.groupby("input", sort=False):
        first = same[(same["engine"] == same["engine"].iloc[0]) & (same["batch"] == same["batch"].min())]
        known = first[first["shuffle"] & (first["groups"] > 1) & first["ratio"].notna() & first["macs_ratio"].notna()]
        if len(known):
            parts.append((str(name), known[known["width"] == known["width"].max()].iloc[-1]))
    if not parts:
        return ""
    (_, one), *others = parts
    text = (
        f"At {one['width']:g}x, {images(one['batch'])} of {label(one)} in {engine(one['engine'])}, g={one['groups']} "
        f"takes {one['ratio']:.2f} times as long as g=1 at {one['macs_ratio']:.2f} of its multiply-adds"
    )
    for _, row in others:
        text += f"; on {label(row)}, g={row['groups']} {row['ratio']:.2f} times at {row['macs_ratio']:.2f}"
    return f"{text}."


def shuffle(rows: pd.DataFrame) -> str:
    """What the shuffle adds to the time, by engine."""
    known = rows[rows["shuffle_ratio"].notna()]
    parts = []
    for name, same in known.groupby("engine", sort=False):
        ends = (same["shuffle_ratio"].min(), same["shuffle_ratio"].max())
        span = " to ".join(dict.fromkeys(_percent(100 * (end - 1)) for end in ends))
        parts.append(f"{span} % in {engine(str(name))}")
    return f"Channel shuffle itself, of no multiply-adds, changes the time by {', '.join(parts)}." if parts else ""


def width(rows: pd.DataFrame) -> str:
    """What half the width saves with three groups, one image at a time, on the paper's input; beside its phone."""
    same = rows[rows["shuffle"] & (rows["groups"] == 3) & (rows["batch"] == 1) & is_papers(rows)]
    for name, part in same.groupby("engine", sort=False):
        found = part.drop_duplicates("width").set_index("width")
        if {1.0, 0.5} <= set(found.index) and found["macs"].notna().all():
            time, macs = (found[key][0.5] / found[key][1.0] for key in ("median_ms", "macs"))
            theirs = paper.TABLE_8_MS[0.5] / paper.TABLE_8_MS[1.0]
            return (
                f"A smaller width: 0.5x takes {time:.2f} of 1x’s time at {macs:.2f} of its multiply-adds (g=3, one "
                f"image, {label(part.iloc[0])}, {engine(str(name))}); on the paper’s phone {theirs:.2f} (Table 8)."
            )
    return ""


def single(rows: pd.DataFrame) -> str:
    """Which engine to take for one image, where the compiled kernels, made for batches, are slower than PyTorch."""
    one, parts = rows[rows["batch"] == 1], []
    keys = [*(name for name in WAY if name != "engine"), "width", "groups", "shuffle"]
    theirs = one.loc[one["engine"] == "pytorch", [*keys, "median_ms"]]
    for name, ours in one[one["engine"].str.startswith("native")].groupby("engine", sort=False):
        both = ours.merge(theirs, on=keys, suffixes=("", "_theirs"))
        slower = both[both["median_ms"] > both["median_ms_theirs"]].sort_values("median_ms")
        if len(slower):
            most = slower.iloc[-1]
            parts.append(
                f"{engine(str(name))} are slower than it with {len(slower)} of {counted(len(both), 'network')}, at "
                f"most {most['median_ms']:.3g} ms against {most['median_ms_theirs']:.3g}"
            )
    return f"For one image use PyTorch: {'; '.join(parts)}. They are made for batches." if parts else ""


def is_papers(rows: pd.DataFrame) -> pd.Series:
    """Which rows have the paper's input and stem."""
    papers = {"resolution": paper.RESOLUTION, "channels": paper.CHANNELS, "stem": paper.STEM, "classes": paper.CLASSES}
    return (rows[[*papers]] == pd.Series(papers)).all(axis=1)


def images(batch: int) -> str:
    """`one image`, `64 images`."""
    return "one image" if batch == 1 else f"{batch:,} images"


def engine(name: str) -> str:
    """An engine as the page calls it: `PyTorch`, `this project’s kernels (avx512)`."""
    first, _, kind = name.partition(" ")
    if first == "native":
        return f"{OURS}kernels ({kind})" if kind else f"{OURS}kernels"
    return "PyTorch" if name == "pytorch" else name


def origin(rows: pd.DataFrame) -> str:
    """What was measured, on what and how, in one paragraph."""
    rounds = f"{rows['rounds'].min()}" + (f" to {rows['rounds'].max()}" if rows["rounds"].nunique() > 1 else "")
    threads = ", ".join(map(str, sorted(rows["threads"].unique())))
    formats = rows.loc[rows["engine"] == "pytorch", ["memory_format", "format_ratio"]].dropna()
    told = "".join(f" {_format(str(name), same)}" for name, same in formats.groupby("memory_format"))
    kernels = " The kernels fold BatchNorm anew in every call." if rows["engine"].str.startswith("native").any() else ""
    return (
        f"Medians of {rounds} rounds, in each of which every network had a turn, on {threads} "
        f"{plural(int(rows['threads'].max()), 'thread')} of {_listed(rows['device'])} ({_listed(rows['versions'])}; "
        f"{_listed(rows['measured'])}). Weights are random; BatchNorm is folded into the convolutions.{told}{kernels} "
        "Ratios are taken within each round; brackets are their quartiles. Where these enclose 1, a network counts as "
        "neither faster nor slower."
    )


def _format(name: str, same: pd.DataFrame) -> str:
    """Why PyTorch has this memory format."""
    by_groups = same["format_ratio"].median()
    return (
        f"PyTorch runs eagerly, in the memory format that is the faster over all networks: {name} (the other takes "
        f"{by_groups:.2f} times as long at the median)."
    )


def _listed(values: pd.Series) -> str:
    found = list(dict.fromkeys(values))
    return "; ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")


def _span(values: pd.Series) -> str:
    """`0.93 to 0.98`."""
    return " to ".join(dict.fromkeys(f"{value:.2f}" for value in (values.min(), values.max())))


def _percent(value: float) -> str:
    return "0" if abs(value) < 0.5 else f"{value:+.0f}".replace("-", "−")


def _answer(results: str) -> list[str]:
    """The sentences on the times of a results folder, or why they cannot be used."""
    found = read_times(Path(results))
    return [] if found is None else [found.problem] if found.problem else sentences(found.rows)


if __name__ == "__main__":
    answer_json(_answer)
