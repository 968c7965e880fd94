"""Indicators that are pulled from a source, and history loaded in bulk."""
