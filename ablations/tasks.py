"""The address `python -m ablations.tasks`."""

from ablations.core.command import command


@command
def main() -> int:
    """Train runs of a list."""
    from ablations.sweep.cluster_task import main as run

    return run()


if __name__ == "__main__":
    main()
