"""Trains runs: step, CUDA graph, optimizer, checkpointing, evaluation, DDP. May import core, data, store and model."""
