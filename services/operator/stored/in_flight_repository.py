"""SQL of the requests in flight on the pods of workloads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, text


def load_in_flight(
    connection: Connection, ids: Sequence[int], oldest: datetime
) -> Mapping[int, Mapping[str, float]]:
    """Requests in flight by workload and the pod's name.

    Workloads are absent whose pods were last read before `oldest`.
    """
    statement = text(
        "SELECT workload_id, by_pod FROM pod_requests "
        "WHERE workload_id = ANY(CAST(:ids AS int[])) AND observed_at >= :oldest"
    )
    rows = connection.execute(statement, {"ids": list(ids), "oldest": oldest})
    return {int(row[0]): row[1] for row in rows}
