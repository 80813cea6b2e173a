"""Reads a results folder: one row for each run, its provenance, the cost of its network.

Imports `ablations.core`, `ablations.store` and `model`.
"""
