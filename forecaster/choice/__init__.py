"""Simple forecasters, and which forecaster answers for a workload: comparison, ladder."""
