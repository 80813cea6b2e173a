"""The notebook of a study, as a script, and the command that executes it for each.

Imports every package of `analysis` but `reference`.
"""
