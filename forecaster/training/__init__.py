"""Fitting: data sets, stages, the training loop, checkpoints, updates of a fitted model."""
