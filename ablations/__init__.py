"""From a configuration to stored results: plan, workers, trainer, store."""
