"""Committed studies: packed, compared with their data, drawn anew.

Imports every package of `analysis` but `notebooks`.
"""
