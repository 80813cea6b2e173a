"""The address `python -m analysis.reference`."""

import sys

from analysis.reference.commands import main

if __name__ == "__main__":
    sys.exit(main())
