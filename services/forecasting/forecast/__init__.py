"""Forecasts of a shard at an origin."""
