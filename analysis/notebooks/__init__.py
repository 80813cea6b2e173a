"""Notebooks on the two studies, and the command that executes them. May import all of analysis but reference."""
