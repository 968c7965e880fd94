"""Samples that a Prometheus writes."""
