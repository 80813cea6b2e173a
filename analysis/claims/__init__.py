"""What a study claims, and the verdict on each claim.

Imports `analysis.stats`, `analysis.paper` and what stands below them.
"""
