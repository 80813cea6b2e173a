"""Progress of a sweep: live view, status, forecast.

Imports `ablations.execution` and what stands below it; starts without torch.
"""
