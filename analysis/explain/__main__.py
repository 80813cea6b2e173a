"""The address `python -m analysis.explain`."""

from ablations.core.command import address

main = address("analysis.explain.commands")

if __name__ == "__main__":
    main()
