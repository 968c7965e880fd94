"""Indicators, forecasts, allocation, quality and lead times over time."""
