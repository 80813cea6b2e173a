"""results/report.html: verdicts, tables, figures and what stands behind each number, in one file without a network."""

from analysis.report.page import write

__all__ = ["write"]
