"""What loggers write of a run: its description, flat, and the numbers of an epoch."""

from collections.abc import Sequence
from typing import Any

from ablations.core.files import flatten
from ablations.core.run_spec import Run, plain

Rows = Sequence[dict[str, Any]]
"""All epochs of a run so far, as in metrics.csv."""


def parameters(run: Run) -> dict[str, str]:
    """The resolved description of a run, flat: `protocol.recipe.lr` and so on."""
    described = {key: str(value) for key, value in flatten(plain(run)).items()}
    return {"run_id": run.run_id, "cell_id": run.cell_id, **described}


def metrics(row: dict[str, Any]) -> dict[str, float]:
    """The numbers of an epoch, by column of metrics.csv."""
    return {key: float(value) for key, value in row.items() if key not in ("epoch", "step") and value is not None}
