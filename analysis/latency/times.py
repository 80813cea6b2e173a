"""Reads and validates latency.csv, and adds the multiply-adds of each network."""

import io
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, create_model

from analysis import paper
from analysis.runs.cell import Cell
from analysis.runs.macs import NetworkCost, Subject, costs, subject
from model.widths import STEMS

FILE = "latency.csv"
"""Written into the results folder by ablations.latency."""

BYTES = 1_000_000
"""A file of every variant, input, batch and engine has some 20,000."""

TEXT = {"input": 60, "engine": 40, "memory_format": 40, "device": 200, "versions": 200, "measured": 60}
"""Columns of any text, and how many characters of it are kept."""

WHOLE = {
    **{"resolution": 4096, "channels": 64, "classes": 1_000_000, "batch": 1_000_000, "groups": 64},
    **{"stem_channels": 4096, "rounds": 1_000_000, "threads": 4096},
}
"""Columns of whole numbers above 0, and the most that each may be."""

TIMES = ("median_ms", "low_ms", "high_ms")
RATIOS = ("ratio", "ratio_low", "ratio_high", "shuffle_ratio", "shuffle_low", "shuffle_high", "format_ratio")
"""Columns of numbers above 0; ratios may be empty. ablations/profiling/latency_rows.py says what each is."""

INPUT = ("input", "resolution", "channels", "stem", "classes")
WAY = (*INPUT, "engine", "batch")
NETWORK = ("structure", "width", "groups", "shuffle", "stem_channels")
COLUMNS = (
    *(*INPUT, "engine", "memory_format", "batch", *NETWORK, "macs", "macs_ratio", *TIMES, *RATIOS),
    *("rounds", "threads", "device", "versions", "measured"),
)
"""Of tables/latency.csv: those of latency.csv, and macs of one image with their ratio to one group's."""


NUMBER = Annotated[float, Field(gt=1e-9, lt=1e9)]
ROW = create_model(
    "ROW",
    **{name: Annotated[str, AfterValidator(lambda text, n=n: " ".join(text.split())[:n])] for name, n in TEXT.items()},
    **{name: Annotated[int, BeforeValidator(int), Field(gt=0, le=most)] for name, most in WHOLE.items()},
    **dict.fromkeys(("width", *TIMES), NUMBER),
    **dict.fromkeys(RATIOS, Annotated[NUMBER | None, BeforeValidator(lambda text: text or None)]),
    stem=Literal[STEMS],
    structure=Literal[tuple(paper.PHONES)],
    shuffle=Annotated[Literal["True", "False"], AfterValidator(lambda text: text == "True")],
)  # type: ignore[call-overload]
"""Validates a row of latency.csv, given as texts."""


@dataclass(frozen=True)
class Latency:
    """Times in the order of the tables, columns COLUMNS; none, and one sentence why, where the file is damaged.

    `others`: of MobileNet and AlexNet, milliseconds of one image by structure.
    """

    rows: pd.DataFrame
    problem: str = ""
    others: dict[str, float] = field(default_factory=dict)


def read_times(results: Path, measure: bool = True) -> Latency | None:
    """What latency.csv holds, with multiply-adds joined (NaN where unknown); None where there is no such file."""
    path = results / FILE
    if not path.exists():
        return None
    try:
        rows = _checked(path)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        text = f"{FILE} cannot be used ({why}); `make latency` measures anew."
        return Latency(pd.DataFrame(columns=list(COLUMNS)), " ".join(text.split()))
    mine = rows["structure"] == "shufflenet"
    beside = dict(zip(rows.loc[~mine, "structure"], rows.loc[~mine, "median_ms"], strict=True))
    rows = rows[mine].reset_index(drop=True)
    return Latency(_with_macs(rows, results, measure)[list(COLUMNS)], others=beside)


def label(row: pd.Series) -> str:
    """An input in words: `cifar10 32×32`."""
    return f"{row['input']} {row['resolution']}×{row['resolution']}"


def ways(rows: pd.DataFrame) -> list[tuple[str, str, int, pd.DataFrame]]:
    """Input, engine, batch and rows of each way of measuring, in the order of `rows`."""
    parts = rows.groupby(list(WAY), sort=False)
    return [(label(part.iloc[0]), str(part["engine"].iloc[0]), int(part["batch"].iloc[0]), part) for _, part in parts]


def _checked(path: Path) -> pd.DataFrame:
    """The rows with their types, sorted; ValueError, naming column and value, for whatever cannot be."""
    if path.stat().st_size > BYTES:
        raise ValueError(f"it has more than {BYTES:,} bytes")
    try:
        text = pd.read_csv(io.BytesIO(path.read_bytes()), dtype=str, keep_default_na=False).fillna("")
    except ValueError:
        raise ValueError("it is no table of comma-separated values") from None
    needed = list(ROW.model_fields)
    missing = [name for name in needed if name not in text]
    if missing or text.empty:
        raise ValueError(f"it has no column {missing[0]}" if missing else "it has no rows")
    try:
        found = [ROW.model_validate(row).model_dump() for row in text[needed].to_dict("records")]
    except ValidationError as error:
        wrong = error.errors()[0]
        raise ValueError(f"{wrong['loc'][0]} is {str(wrong['input'])[:40]!r} in one row") from None
    rows = pd.DataFrame(found).astype(dict.fromkeys(RATIOS, float))
    if not (rows["structure"] == "shufflenet").any():
        raise ValueError("it has no times of ShuffleNet")
    if rows.duplicated([*WAY, *NETWORK]).any():
        raise ValueError("it has a network twice")
    place = {name: k for k, name in enumerate(dict.fromkeys(rows["input"]))}
    ranks = rows.assign(place=rows["input"].map(place), other=rows["engine"] != "pytorch", width=-rows["width"])
    order = ["place", "resolution", "stem", "classes", "channels", "other", "engine", "batch"]
    order += ["structure", "width", "groups", "stem_channels", "shuffle"]
    return rows.loc[ranks.sort_values(order).index].reset_index(drop=True)


def _with_macs(rows: pd.DataFrame, results: Path, measure: bool) -> pd.DataFrame:
    """Multiply-adds of one image, and their ratio to those of one group at the same width."""
    names = ["stem", "channels", "resolution", "classes"]
    subjects = [
        subject(Cell.of({axis: row[axis] for axis in NETWORK if axis != "shuffle"}), *(row[name] for name in names))
        for row in rows.to_dict("records")
    ]
    known: dict[Subject, NetworkCost | None]
    try:
        known = costs(results, subjects, measure)
    except RuntimeError:
        known = {}
    rows["macs"] = [cost.macs if (cost := known.get(one)) else math.nan for one in subjects]
    alike = [*WAY, "structure", "width"]
    single = rows[(rows["groups"] == 1) & rows["shuffle"]].drop_duplicates(alike)
    base = rows[alike].merge(single[[*alike, "macs"]], on=alike, how="left")["macs"]
    rows["macs_ratio"] = rows["macs"] / base.to_numpy()
    return rows
