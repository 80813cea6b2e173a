"""The address `python -m analysis.explain`."""

from ablations.core.command import command


@command
def main() -> int:
    """Say what stands behind a number of a table."""
    from analysis.explain.commands import main as run

    return run()


if __name__ == "__main__":
    main()
