"""Latency of the REST API over a week of a thousand workloads."""
