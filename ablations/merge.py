"""The address `python -m ablations.merge`."""

from ablations.core.command import address

main = address("ablations.store.merge")

if __name__ == "__main__":
    main()
