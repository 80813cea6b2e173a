"""The address `python -m ablations.forget`."""

from ablations.core.command import address

main = address("ablations.store.forget")

if __name__ == "__main__":
    main()
