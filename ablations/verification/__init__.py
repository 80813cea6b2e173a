"""Checks that the ablation ablates: every cell of a plan is built and traced before anything trains.

Imports `ablations.training` and what stands below it; not `execution`.
"""
