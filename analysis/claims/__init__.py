"""Claims as data, their tests and verdicts; may import runs and stats."""
