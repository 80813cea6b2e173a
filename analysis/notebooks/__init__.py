"""The notebooks, as scripts, and the command that executes them.

Imports every package of `analysis` but `reference`.
"""
