"""Variants or pools of a workload, in SQL."""

from __future__ import annotations


def _listed(field: str) -> str:
    """A field of the spec of the row `w`; NULL where somebody made it something else by hand."""
    value = f"w.spec -> '{field}'"
    return f"CASE jsonb_typeof({value}) WHEN 'array' THEN NULLIF({value}, '[]'::jsonb) END"


PARTS = f"COALESCE({_listed('variants')}, {_listed('pools')}, '[]'::jsonb)"
"""JSON array of the variants or pools in the spec of the row `w` of `workloads`; empty: none."""
