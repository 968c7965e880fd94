"""Workloads that run on several GPU types."""
