"""Ingest: raw samples in (push API, Prometheus), indicators on the step grid out.

A gap stays a gap: nothing here turns a missing or failing metric into a number.
"""
