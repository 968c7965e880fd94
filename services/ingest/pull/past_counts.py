"""Whose counts of an objective the past is to be asked for. Pure."""

from __future__ import annotations

import hashlib

from services.ingest.series.catalog import WorkloadRef
from services.ingest.series.due import CursorRow

MOST_AT_ONCE = 4
"""Workloads of a shard whose past is asked for in one pull where only their objective is new."""


def counts_of(workload: WorkloadRef) -> str | None:
    """What tells the counts of an objective from those of another; None: it has none to pull."""
    found = sorted(one.name + "=" + one.query for one in workload.indicators.values() if one.is_sli)
    queries = [one for one in found if not one.endswith("=")]
    return hashlib.sha256("\n".join(queries).encode()).hexdigest()[:16] if queries else None


def is_unasked(row: CursorRow) -> bool:
    """Whether the past was never asked for the counts of its objective as it is now."""
    counts = counts_of(row.workload)
    return counts is not None and counts != row.counts_asked
