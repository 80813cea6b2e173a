"""The address `python -m ablations.status`."""

from ablations.core.command import address

main = address("ablations.monitor.status")

if __name__ == "__main__":
    main()
