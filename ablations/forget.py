"""The address `python -m ablations.forget`."""

import sys

from ablations.store.forget import main

if __name__ == "__main__":
    sys.exit(main())
