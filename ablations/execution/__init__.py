"""A job from its lease to its `result.json`: worker processes, their pool, the job queue, run recorder.

Imports `ablations.training` and what stands below it; not `verification`.
"""
