"""The address `python -m ablations.latency`."""

from ablations.core.command import command


@command
def main() -> int:
    """Measure inference times."""
    from ablations.profiling.latency import main as run

    return run()


if __name__ == "__main__":
    main()
