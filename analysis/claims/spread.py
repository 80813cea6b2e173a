"""How far seeds' errors spread, measured: in a results folder, else in a committed study of the same data.

`python -m analysis.claims.spread` answers a sweep that was a pilot (ablations.core.json_subprocess).
"""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from scipy import special

from ablations.core.errors import UserError
from ablations.core.json_subprocess import answer_json
from ablations.core.paths import REFERENCE
from ablations.core.text import counted, plural
from analysis.runs.finished import read
from analysis.stats.intervals import LEVEL, pool


@dataclass(frozen=True)
class Measured:
    """Standard deviation between seeds in points: pooled over all cells, with its 95 % interval, and of each width.

    Attributes:
        by_width: of the widths that have two seeds of a cell. df: degrees of freedom of `sd`, of so many `cells`.
        source: where it was measured, in words.
    """

    sd: float
    low: float
    high: float
    df: int
    cells: int
    by_width: dict[float, float]
    source: str

    @property
    def text(self) -> str:
        """It in words."""
        widths = ", ".join(f"{sd:.2g} at {width:g}x" for width, sd in sorted(self.by_width.items()))
        return (
            f"{self.sd:.2g} points (95 % interval {self.low:.2g} to {self.high:.2g}; {counted(self.cells, 'cell')}, "
            f"{self.df} {plural(self.df, 'degree')} of freedom"
            f"{f'; {widths}' if len(self.by_width) > 1 else ''}), measured in {self.source}"
        )


def measured(results: Path, protocol_id: str, data: str) -> Measured | None:
    """The spread under a protocol; failing that, with the same data: here, else in a committed study; None: unknown."""
    committed = [path.parent for path in sorted(REFERENCE.glob("*/study.json"))]
    places = [(results, {"protocol": protocol_id}, "this folder")]
    places += [(results, {"data": data}, f"this folder, on {data} with other training")]
    places += [
        (folder, {"data": data, "rather": protocol_id}, f"results/reference/{folder.name}, on the same data")
        for folder in committed
    ]
    for folder, which, source in places:
        try:
            found = of_runs(read(folder, **which), source)
        except UserError:
            continue
        if found:
            return found
    return None


def of_runs(rows: pd.DataFrame, source: str) -> Measured | None:
    """The spread of finished runs, of a chi-square distribution; None where no cell has two unlike seeds."""
    groups = {key: list(part["error"]) for key, part in rows.groupby(["width", "cell_id"], dropna=False)}
    every = pool(list(groups.values()))
    if not every.sd > 0:
        return None
    tail = (1 - LEVEL) / 2
    low, high = (every.sd * math.sqrt(every.df / special.chdtri(every.df, p)) for p in (tail, 1 - tail))
    widths = {key[0]: pool([of for other, of in groups.items() if other[0] == key[0]]).sd for key in groups}
    known = {float(str(width)): sd for width, sd in widths.items() if sd > 0 and width == width}
    several = sum(len(values) > 1 for values in groups.values())
    return Measured(every.sd, float(low), float(high), every.df, several, known, source)


def answer(question: dict[str, Any]) -> dict[str, Any] | None:
    """The spread of a folder (`results`), protocol (`protocol_id`) and data set (`data`)."""
    found = measured(Path(question["results"]), question["protocol_id"], question["data"])
    return {**asdict(found), "text": found.text} if found else None


if __name__ == "__main__":
    answer_json(answer)
