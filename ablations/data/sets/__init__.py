"""One module for each data set: what it is, and its images and labels.

Imports `ablations.data` and `core`, and no torch.
"""
