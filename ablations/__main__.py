"""The address `python -m ablations`, and the script `ablations`."""

from ablations.core.command import command


@command
def main() -> None:
    """Train what the command line describes."""
    from ablations.sweep.hydra_app import main as run

    run()


if __name__ == "__main__":
    main()
