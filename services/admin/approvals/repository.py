"""SQL of the approvals inbox and of verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, text

from services.admin.rest.lists_repository import Conditions
from services.admin.rest.times import AHEAD
from services.kernel.domain.workload import APPROVAL_VALID_S, MOST_APPROVAL_VALID_S

_VALID_S = (
    "least(CASE jsonb_typeof(w.spec -> 'approval_valid_s') WHEN 'number' "
    "THEN (w.spec ->> 'approval_valid_s')::numeric ELSE :valid_s END, :most_s)"
)
"""As `translate.expires_at` reads it."""
_INBOX = f"""
SELECT d.id, d.origin_at, d.workload_id, w.namespace, w.name,
       (SELECT c.name FROM clusters c WHERE c.id = w.cluster_id) AS cluster,
       d.forecast_id, d.policy_version,
       d.decided_at, d.valid_until, d.current_replicas, d.raw_replicas, d.desired_replicas,
       d.direction, d.reason, d.binding_constraint, d.rung, d.risk_target, d.risk_estimated,
       d.cost_delta_usd_per_h, d.variants,
       a.result AS action_result, a.reason AS action_reason, a.applied_at,
       d.explanation ->> 'summary' AS summary, e.expires_at
FROM workloads w
CROSS JOIN LATERAL (
    SELECT * FROM decisions WHERE workload_id = w.id AND origin_at <= :until
    ORDER BY origin_at DESC, id DESC LIMIT 1
) d
JOIN LATERAL (
    SELECT result, reason, applied_at FROM actions
    WHERE workload_id = w.id AND decision_id = d.id AND origin_at = d.origin_at
    ORDER BY attempt DESC LIMIT 1
) a ON a.result = 'awaiting_approval'
CROSS JOIN LATERAL (SELECT d.decided_at + make_interval(secs => {_VALID_S}) AS expires_at) e
WHERE w.is_active AND w.spec ->> 'mode' = 'Approval' AND e.expires_at > :now
  AND NOT EXISTS (SELECT 1 FROM approvals p WHERE p.decision_id = d.id)
"""  # noqa: S608  # fixed fragments with bound values


def load_inbox(
    connection: Connection, filters: Mapping[str, Any], limit: int, now: datetime
) -> list[RowMapping]:
    """Newest decisions that wait for a human, oldest origin last; nobody has answered them.

    One that can no longer be approved waits for nobody.

    Args:
        connection: An open transaction.
        filters: `namespaces`, `namespace`, `label`, `after`.
        limit: At most this many.
        now: Decisions of a later time are no one's newest yet.
    """
    where = Conditions()
    where.of_workloads(filters)
    where.after("(d.origin_at, d.id) < (:a0, :a1)", filters.get("after"))
    statement = f"{_INBOX} AND {where.sql} ORDER BY d.origin_at DESC, d.id DESC LIMIT :limit"
    valid = {"valid_s": APPROVAL_VALID_S, "most_s": MOST_APPROVAL_VALID_S}
    values = where.values | valid | {"limit": limit, "now": now, "until": now + AHEAD}
    return list(connection.execute(text(statement), values).mappings().all())


def load_verdict(connection: Connection, decision_id: int) -> RowMapping | None:
    """The verdict of a person on a decision; None: nobody gave one."""
    statement = text(
        "SELECT decision_id, verdict, reason, actor, decided_at FROM approvals "
        "WHERE decision_id = :id"
    )
    return connection.execute(statement, {"id": decision_id}).mappings().first()


def save_verdict(connection: Connection, values: Mapping[str, Any]) -> None:
    """Store a verdict; a later one replaces it."""
    statement = text(
        "INSERT INTO approvals (decision_id, origin_at, workload_id, verdict, reason, actor, "
        "decided_at) VALUES (:decision_id, :origin_at, :workload_id, :verdict, :reason, :actor, "
        ":decided_at) ON CONFLICT (decision_id) DO UPDATE SET verdict = EXCLUDED.verdict, "
        "reason = EXCLUDED.reason, actor = EXCLUDED.actor, decided_at = EXCLUDED.decided_at"
    )
    connection.execute(statement, dict(values))


def is_announced(connection: Connection, decision_id: int) -> bool:
    """True where the operator is about to apply a decision, or may just have done so."""
    statement = text("SELECT EXISTS (SELECT FROM intents WHERE decision_id = :id)")
    return bool(connection.execute(statement, {"id": decision_id}).scalar_one())


def lock_workload(connection: Connection, workload_id: int) -> None:
    """No other transaction judges or announces decisions of this workload until this one ends."""
    statement = text("SELECT id FROM workloads WHERE id = :id FOR UPDATE")
    connection.execute(statement, {"id": workload_id})
