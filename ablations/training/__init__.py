"""Trains one run, or several as one network: trainer, step, optimizer, checkpoints, evaluation, DDP.

Imports `ablations.data`, `store`, `core` and `model`; never Hydra.
"""
