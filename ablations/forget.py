"""The address `python -m ablations.forget`."""

from ablations.core.command import command


@command
def main() -> int:
    """List or delete plans."""
    from ablations.store.forget import main as run

    return run()


if __name__ == "__main__":
    main()
