"""From the uint8 cache to training batches: augmentation, batch loader, prefetching.

Imports `ablations.data` and `core`.
"""
