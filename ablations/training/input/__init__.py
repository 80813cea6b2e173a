"""Augmentation and batches: from a data set's arrays to the images of a training step."""
