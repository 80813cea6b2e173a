"""`python -m analysis.notebooks`: executes the notebooks here, see analysis/notebooks/execute.py."""

import sys

from analysis.notebooks.execute import main

if __name__ == "__main__":
    sys.exit(main())
