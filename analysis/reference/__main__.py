"""The address `python -m analysis.reference`."""

from ablations.core.command import address

main = address("analysis.reference.commands")

if __name__ == "__main__":
    main()
