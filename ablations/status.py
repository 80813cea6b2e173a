"""The address `python -m ablations.status`."""

from ablations.monitor.status import main

if __name__ == "__main__":
    main()
