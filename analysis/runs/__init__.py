"""One row for each known run, their costs and origins; may import ablations.core, ablations.store and model."""
