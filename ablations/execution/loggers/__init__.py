"""Sends the numbers of each epoch to TensorBoard, MLflow or Weights & Biases as well.

Imports `ablations.core`; the package of a logger only when that logger is asked for.
"""
