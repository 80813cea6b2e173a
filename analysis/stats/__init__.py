"""Intervals, contrasts and adjusted p-values of few seeds; may import runs."""
