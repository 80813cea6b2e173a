"""Intervals, pooled standard deviations, contrasts, corrections for multiple comparisons. Imports `analysis.runs`."""
