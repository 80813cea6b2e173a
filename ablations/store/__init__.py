"""What lies on disk: run folders, checksums, run states, leases, plans, and the merge of results folders.

Imports `ablations.core`.
"""
