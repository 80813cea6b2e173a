"""The address `python -m ablations.tasks`."""

from ablations.core.command import address

main = address("ablations.sweep.cluster_task")

if __name__ == "__main__":
    main()
