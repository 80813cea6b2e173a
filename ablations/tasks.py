"""The address `python -m ablations.tasks`."""

import sys

from ablations.sweep.cluster_task import main

if __name__ == "__main__":
    sys.exit(main())
