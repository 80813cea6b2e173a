"""The address `python -m ablations.merge`."""

import sys

from ablations.store.merge import main

if __name__ == "__main__":
    sys.exit(main())
