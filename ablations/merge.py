"""The address `python -m ablations.merge`."""

from ablations.core.command import command


@command
def main() -> int:
    """Bring in the runs of another results folder."""
    from ablations.store.merge import main as run

    return run()


if __name__ == "__main__":
    main()
