"""All SQL of the external scaler: it reads, and writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, text

CHANNELS = ("harmony_decisions", "harmony_actions", "harmony_states", "harmony_tick")
"""Notifications after which an advice may be another."""

_FACTS = (
    "k.name AS cluster, w.id, w.namespace, w.name, w.step_s, w.spec_version, d.id AS decision_id, "
    "d.desired_replicas, d.valid_until, a.result, a.reason AS result_reason, s.spec_replicas, "
    "s.observed_at, p.decision_id AS approved_id, p.to_replicas AS approved_replicas, "
    "p.applied_at AS approved_at, d.variants AS decided_parts, s.variants AS seen_parts, "
    "p.parts AS approved_parts, b.id AS looked_at_id, b.desired_replicas AS looked_at_replicas, "
    "b.valid_until AS looked_at_until, b.result AS looked_at_result, b.variants AS looked_at_parts"
)
_NEWEST = (
    "FROM workloads w JOIN clusters k ON k.id = w.cluster_id "
    "LEFT JOIN LATERAL (SELECT id, origin_at, desired_replicas, valid_until, variants "
    "  FROM decisions "
    "  WHERE workload_id = w.id AND policy_version = :policy_version AND origin_at <= :until "
    "  ORDER BY origin_at DESC, id DESC LIMIT 1) d ON true "
    "LEFT JOIN LATERAL (SELECT result, reason FROM actions "
    "  WHERE decision_id = d.id AND origin_at = d.origin_at ORDER BY attempt DESC LIMIT 1) a "
    "  ON true "
    "LEFT JOIN LATERAL (SELECT spec_replicas, observed_at, variants FROM replica_states "
    "  WHERE workload_id = w.id AND observed_at <= :until "
    "  ORDER BY observed_at DESC LIMIT 1) s ON true "
    # what a person approved; a day is longer than any approval is waited for
    "LEFT JOIN LATERAL (SELECT decision_id, to_replicas, applied_at, parts FROM actions "
    "  WHERE w.spec ->> 'mode' = 'Approval' AND workload_id = w.id AND result = 'delegated' "
    "  AND origin_at > d.origin_at - interval '1 day' ORDER BY applied_at DESC LIMIT 1) p ON true "
    # what the operator looked at last, where that is not the newest decision
    "LEFT JOIN LATERAL (SELECT e.id, e.desired_replicas, e.valid_until, e.variants, n.result "
    "  FROM actions n JOIN decisions e ON e.id = n.decision_id AND e.origin_at = n.origin_at "
    "  WHERE a.result IS NULL AND w.spec ->> 'mode' = 'Auto' AND n.workload_id = w.id "
    "  AND n.origin_at > d.origin_at - interval '1 day' AND n.origin_at <= d.origin_at "
    "  AND e.policy_version = :policy_version "
    "  ORDER BY n.origin_at DESC, n.decision_id DESC, n.attempt DESC LIMIT 1) b ON true "
)


def load_one(
    connection: Connection, namespace: str, name: str, policy_version: str, until: datetime
) -> RowMapping | None:
    """A workload with its spec, newest decision and its newest action, replicas, approval.

    Args:
        connection: An open transaction.
        namespace: Of the workload.
        name: Of the workload.
        policy_version: Of the decisions.
        until: What is of a later time counts when that time is there.
    """
    statement = text(
        f"SELECT {_FACTS}, w.is_active, w.spec {_NEWEST}"
        "WHERE w.namespace = :namespace AND w.name = :name"
    )
    given = {"namespace": namespace, "name": name, "policy_version": policy_version}
    return connection.execute(statement, given | {"until": until}).mappings().one_or_none()


def load_active(
    connection: Connection, policy_version: str, until: datetime
) -> Sequence[RowMapping]:
    """The same of every active workload, without the specs."""
    statement = text(f"SELECT {_FACTS} {_NEWEST}WHERE w.is_active")
    given = {"policy_version": policy_version, "until": until}
    return connection.execute(statement, given).mappings().all()


def load_specs(connection: Connection, ids: Sequence[int]) -> dict[int, Mapping[str, Any]]:
    """Stored specs by workload id."""
    statement = text("SELECT id, spec FROM workloads WHERE id = ANY(:ids)")
    return {int(row[0]): row[1] for row in connection.execute(statement, {"ids": list(ids)})}
