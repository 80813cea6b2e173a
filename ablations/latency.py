"""The address `python -m ablations.latency`."""

from ablations.core.command import address

main = address("ablations.profiling.latency")

if __name__ == "__main__":
    main()
