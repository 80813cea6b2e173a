"""results/report.html: verdicts, tables, figures and what stands behind each number, in one file without a network.

Imports `analysis.latency` and what stands below it.
"""
