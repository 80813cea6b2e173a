"""Figures, returned and never shown, and their style. Imports `analysis.studies` and what stands below it."""
