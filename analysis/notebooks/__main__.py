"""`python -m analysis.notebooks`: executes the notebooks here, see analysis/execute.py."""

import sys

from analysis.execute import main

if __name__ == "__main__":
    sys.exit(main())
