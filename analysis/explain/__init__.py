"""What stands behind one number of a table: the command `python -m analysis.explain`. May import all but `publish`."""
