"""Simple forecasters, and which forecaster answers for a workload: back-test, ladder."""
