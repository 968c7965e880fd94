"""SQL of pods that a scaling in took and that were killed at the end of their grace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, text

from services.operator.cluster.kills import KilledPod, Kills

_BY_SCALE_IN = """
SELECT decision_id FROM actions WHERE workload_id = k.workload_id AND result = 'applied'
AND origin_at > k.told_at - interval '1 day' AND origin_at <= k.told_at + interval '1 minute'
AND applied_at BETWEEN k.told_at - interval '1 minute' AND k.told_at + interval '5 seconds'
AND (to_replicas < from_replicas OR EXISTS (SELECT FROM jsonb_array_elements(
  CASE WHEN jsonb_typeof(parts) = 'array' THEN parts ELSE '[]' END) p
  WHERE (p ->> 'to')::int < (p ->> 'from')::int))
ORDER BY applied_at DESC LIMIT 1
"""
"""The scaling in that a pod went by. A controller deletes pods within moments; the clocks of the
cluster and of the database may differ by a few seconds."""


def store_kills(
    connection: Connection, kills: Sequence[KilledPod], workload_ids: Sequence[int]
) -> list[int]:
    """Store pods that a scaling in of Harmony's took, with the requests that they had last.

    Others (a roll-out, an eviction, another hand) are left out, and so is what is stored already.

    Args:
        connection: An open transaction.
        kills: The pods.
        workload_ids: The workload of each.

    Returns:
        The workload of each that is new.
    """
    if not kills:
        return []
    statement = text(
        "INSERT INTO killed_pods (pod_uid, workload_id, pod, decision_id, grace_s, requests, "  # noqa: S608
        "told_at, killed_at) SELECT k.uid, k.workload_id, k.pod, a.decision_id, k.grace_s, "
        "(r.by_pod ->> k.pod)::float8, k.told_at, k.killed_at FROM unnest(CAST(:uid AS text[]), "
        "CAST(:workload_id AS int[]), CAST(:pod AS text[]), CAST(:grace_s AS float8[]), "
        "CAST(:told_at AS timestamptz[]), CAST(:killed_at AS timestamptz[])) "
        "AS k(uid, workload_id, pod, grace_s, told_at, killed_at) "
        f"CROSS JOIN LATERAL ({_BY_SCALE_IN}) a "
        # a reading from before it was told says nothing of what it had at the end
        "LEFT JOIN pod_requests r ON r.workload_id = k.workload_id AND r.observed_at >= k.told_at "
        "ON CONFLICT (pod_uid) DO NOTHING RETURNING workload_id"
    )
    given = {
        "uid": [each.uid for each in kills],
        "workload_id": list(workload_ids),
        "pod": [each.name for each in kills],
        "grace_s": [each.grace_s for each in kills],
        "told_at": [each.told_at for each in kills],
        "killed_at": [each.killed_at for each in kills],
    }
    return [int(row[0]) for row in connection.execute(statement, given)]


def load_kills(connection: Connection, ids: Sequence[int], since: datetime) -> Mapping[int, Kills]:
    """What was killed since a time, by workload; those are absent of which nothing was.

    Pods that were seen without requests are left out: they lost none.
    """
    statement = text(
        "SELECT workload_id, count(*), max(grace_s), max(killed_at), sum(requests) "
        "FROM killed_pods WHERE workload_id = ANY(CAST(:ids AS int[])) AND killed_at > :since "
        "AND requests IS DISTINCT FROM 0 "
        "GROUP BY workload_id"
    )
    rows = connection.execute(statement, {"ids": list(ids), "since": since})
    return {int(row[0]): Kills(*row[1:]) for row in rows}
