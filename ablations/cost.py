"""The address `python -m ablations.cost`."""

from ablations.core.command import command


@command
def main() -> int:
    """Say what a sweep would cost."""
    from ablations.profiling.cost import main as run

    return run()


if __name__ == "__main__":
    main()
