"""The address `python -m analysis.reference`."""

from ablations.core.command import command


@command
def main() -> int:
    """Pack, check, draw or unpack committed studies."""
    from analysis.reference.commands import main as run

    return run()


if __name__ == "__main__":
    main()
