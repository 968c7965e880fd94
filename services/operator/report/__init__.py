"""Conditions, status and events of a workload. Pure."""
