"""SQL of the requests in flight on the pods of a workload."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, text


def load_in_flight(
    connection: Connection, workload_id: int, oldest: datetime
) -> Mapping[str, float]:
    """Requests in flight by the pod's name; none where they were last read before `oldest`."""
    statement = text(
        "SELECT by_pod FROM pod_requests WHERE workload_id = :id AND observed_at >= :oldest"
    )
    found = connection.execute(statement, {"id": workload_id, "oldest": oldest}).scalar()
    return found or {}
