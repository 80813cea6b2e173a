"""The address `python -m ablations.latency`."""

import sys

from ablations.profiling.latency import main

if __name__ == "__main__":
    sys.exit(main())
