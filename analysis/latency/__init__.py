"""Inference times: reading latency.csv, sentences, tables and the figure. May import runs, stats, claims, studies."""
