"""From results on disk to tables, figures and notebooks; reads what the trainer wrote and never imports it."""
