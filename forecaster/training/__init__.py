"""Fitting: data sets, stages, the training loop, checkpoints."""
