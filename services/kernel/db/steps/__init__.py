"""Indicators as they are stored: a row for each workload and step, all values in arrays."""
