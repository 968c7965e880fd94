"""Ingest: raw samples in (push API, Prometheus), indicators on the step grid out.

A gap stays a gap: nothing here turns a missing or failing metric into a number. Samples come in by
`push`, `remote_write` or `pull`; `series` stores and resamples them alike. To add a source that is
pulled from, read `series.source`.
"""
