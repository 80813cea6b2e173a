"""From results on disk to tables, figures, report and notebooks.

Packages import in one direction: paper, runs < stats < claims < studies < latency < report < publish, explain <
reference. Of `ablations` only `core` and `store` are used, so that nothing here depends on the trainer.
"""

import os

import ablations  # noqa: F401  finds files that hide the package `model`, before anything imports it

# Figures are drawn without a window. A backend that matplotlib does not know (MPLBACKEND) would end its import; those
# of notebooks (module://...) it does not look up.
if not os.environ.get("MPLBACKEND", "module://").startswith("module://"):
    os.environ["MPLBACKEND"] = "agg"
