"""Committed studies under results/reference: pack, check, draw, unpack. May import all of analysis."""
