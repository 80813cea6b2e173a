"""The address `python -m analysis.notebooks`."""

from ablations.core.command import address

main = address("analysis.notebooks.execute")

if __name__ == "__main__":
    main()
