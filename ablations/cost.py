"""The address `python -m ablations.cost`."""

from ablations.core.command import address

main = address("ablations.profiling.cost")

if __name__ == "__main__":
    main()
