"""What all packages use: run description, configuration schema, devices, files, errors, signals, processes.

Imports none of them.
"""
