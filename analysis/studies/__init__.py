"""Tables and figures of a study under one protocol; may import claims and all below it."""
