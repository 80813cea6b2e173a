"""The address `python -m ablations.status`."""

from ablations.core.command import command


@command
def main() -> int:
    """Say how far every run is."""
    from ablations.monitor.status import main as run

    return run()


if __name__ == "__main__":
    main()
