"""Measurements: each runs side by side in one call and prints what it found."""
