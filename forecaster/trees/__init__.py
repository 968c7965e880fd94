"""Quantile trees beside the network, and the features that they read."""
