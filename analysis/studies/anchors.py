"""Names of the places in a page where it says what a number is made of."""

import re

import pandas as pd


def cell_anchor(row: pd.Series | None) -> str:
    """Name of a cell's place; empty for a cell that has no runs, behind which there is nothing to see."""
    return "" if row is None or not row["cell_id"] else f"cell-{plain(row['cell_id'])}"


def gain_anchor(row: pd.Series) -> str:
    """Name of the place of the gain that the cell `row`, with shuffle, has over the one without."""
    return f"gain-{plain(row['cell_id'])}"


def plain(text: object) -> str:
    """Text from a run's files with nothing in it that an id or a link could trip over."""
    return re.sub(r"[^0-9A-Za-z_-]", "_", str(text))
