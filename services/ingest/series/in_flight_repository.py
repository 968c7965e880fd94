"""SQL of the requests in flight on each pod."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import orjson
from sqlalchemy import Connection, text


def store_in_flight(
    connection: Connection, found: Mapping[int, Mapping[str, float]], at: datetime
) -> None:
    """Store the readings of pods by workload, in place of those from before; never older ones.

    Args:
        connection: An open transaction.
        found: Requests in flight by workload and the pod's name.
        at: Aware.
    """
    if not found:
        return
    statement = text(
        "INSERT INTO pod_requests (workload_id, by_pod, observed_at) SELECT t.id, t.by_pod, :at "
        "FROM unnest(CAST(:ids AS int[]), CAST(:by_pod AS jsonb[])) AS t(id, by_pod) "
        "JOIN workloads w ON w.id = t.id ORDER BY t.id ON CONFLICT (workload_id) DO UPDATE "
        "SET by_pod = EXCLUDED.by_pod, observed_at = EXCLUDED.observed_at "
        "WHERE pod_requests.observed_at < EXCLUDED.observed_at"
    )
    texts = [orjson.dumps(dict(pods)).decode() for pods in found.values()]
    connection.execute(statement, {"ids": list(found), "by_pod": texts, "at": at})
