"""The address `python -m analysis.notebooks`."""

from ablations.core.command import command


@command
def main() -> int:
    """Execute the notebooks."""
    from analysis.notebooks.execute import main as run

    return run()


if __name__ == "__main__":
    main()
