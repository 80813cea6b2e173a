"""From results on disk to tables, figures, report and notebooks.

`analysis.load("results")` gives tables of pandas. Packages import in one direction: paper, runs < stats < claims <
studies < latency < report < tidy < publish, explain < reference. Of `ablations` only
`core` and `store` are used, so that nothing here depends on the trainer.
"""

import os
from typing import TYPE_CHECKING, Any

import ablations  # noqa: F401  finds files that hide the package `model`, before anything imports it

# Figures are drawn without a window. A backend that matplotlib does not know (MPLBACKEND) would end its import; those
# of notebooks (module://...) it does not look up.
if not os.environ.get("MPLBACKEND", "module://").startswith("module://"):
    os.environ["MPLBACKEND"] = "agg"

if TYPE_CHECKING:
    from analysis.tidy import load

__all__ = ["load"]


def __getattr__(name: str) -> Any:
    """Import `load` on first use: it needs pandas and scipy, which some commands do without."""
    if name != "load":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from analysis.tidy import load

    return load
