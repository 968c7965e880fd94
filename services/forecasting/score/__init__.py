"""Scores of forecasts whose horizon has passed, and drift."""
