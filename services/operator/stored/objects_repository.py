"""SQL of the GPUAutoscalers that workloads follow: which object, and what it says by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, text


def adopt(connection: Connection, ids: Sequence[int], now: datetime) -> None:
    """Take over workloads that were made over REST; from now on they follow their autoscalers."""
    sql = "UPDATE workloads SET managed_by = 'kubernetes', updated_at = :now WHERE id = ANY(:ids)"
    if ids:
        connection.execute(text(sql), {"ids": list(ids), "now": now})


def store_objects(connection: Connection, uids: Mapping[int, str]) -> None:
    """Store which GPUAutoscaler each workload follows, by its id."""
    statement = text(
        "UPDATE workloads SET object_uid = n.uid FROM unnest(CAST(:ids AS int[]), "
        "CAST(:uids AS text[])) AS n(id, uid) WHERE workloads.id = n.id"
    )
    connection.execute(statement, {"ids": list(uids), "uids": list(uids.values())})


def store_object_specs(connection: Connection, specs: Mapping[int, bytes | None]) -> None:
    """Store what GPUAutoscalers say by themselves, as JSON by workload id; None: what holds."""
    statement = text(
        "UPDATE workloads w SET object_spec = CAST(n.spec AS jsonb) "
        "FROM unnest(CAST(:ids AS int[]), CAST(:specs AS text[])) AS n(id, spec) "
        "WHERE w.id = n.id AND w.object_spec IS DISTINCT FROM CAST(n.spec AS jsonb)"
    )
    written = [None if spec is None else spec.decode() for spec in specs.values()]
    connection.execute(statement, {"ids": list(specs), "specs": written})
