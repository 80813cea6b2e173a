"""From stored results to tables, figures, verdicts and the report. Imports only core and store of `ablations`."""

import os

# Figures are drawn without a window. A backend that matplotlib does not know (MPLBACKEND) would end its import; those
# of notebooks (module://...) it does not look up.
if not os.environ.get("MPLBACKEND", "module://").startswith("module://"):
    os.environ["MPLBACKEND"] = "agg"
