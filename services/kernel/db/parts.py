"""Variants or pools of a workload, in SQL."""

from __future__ import annotations

PARTS = "COALESCE(NULLIF(w.spec -> 'variants', '[]'::jsonb), w.spec -> 'pools', '[]'::jsonb)"
"""JSON array of the variants or pools in the spec of the row `w` of `workloads`; empty: none."""
