"""The address `python -m ablations.cost`."""

import sys

from ablations.profiling.cost import main

if __name__ == "__main__":
    sys.exit(main())
