"""Rivals and ablations that plan on a forecast."""
