"""The Slurm launcher: settings, submission, the queue, and what a task runs.

Imports `ablations.sweep` and what stands below it.
"""
