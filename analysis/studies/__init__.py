"""The tables of a study, one section for each protocol. Imports `analysis.claims` and what stands below it."""
