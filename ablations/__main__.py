"""The address `python -m ablations`, and the script `ablations`."""

from ablations.core.command import address

main = address("ablations.sweep.hydra_app")

if __name__ == "__main__":
    main()
