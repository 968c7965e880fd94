"""Rows of indicators and forecasts, and the forecaster's values."""
