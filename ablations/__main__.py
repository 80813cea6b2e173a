"""The address `python -m ablations`."""

from ablations.sweep.hydra_app import main

if __name__ == "__main__":
    main()
