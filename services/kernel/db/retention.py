"""Rows that have had their time, deleted in small batches from tables that are not partitioned.

A partition is dropped whole (`partitions`). Here are the tables whose rows end one by one, and some
of which never do: what serves, and what is open, stays however old it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from services.kernel.db.schema import PARTITIONED

_SCORES_S = 86400 * PARTITIONED["forecast_scores"].days
IS_REPLAYABLE = (
    "(d.inputs IS NOT NULL OR EXISTS (SELECT FROM decision_inputs i JOIN forecasts g "
    "ON g.id = d.forecast_id AND g.origin_at = d.origin_at "
    "WHERE i.decision_id = d.id AND i.origin_at = d.origin_at)) AS is_replayable"
)
"""Column of a query over decisions `d`: its inputs are kept, and the forecast that they lack.

Releases before `decision_inputs` kept all of it with the decision.
"""
BATCH = 1000
"""Rows of one transaction: locks are short, and a run that is cut off has done some."""
MAX_BATCHES = 100
"""Of one table in one run; the next run goes on."""


@dataclass(frozen=True, slots=True)
class ExpiringTable:
    """A table and which of its rows, called `r`, may go.

    Attributes:
        name: The table.
        key: Columns of its primary key.
        is_over: Condition on a row `r`, with the parameter `before` where its age matters.
        kept: Time that its rows are kept for; None: as long as decisions.
    """

    name: str
    key: str
    is_over: str
    kept: timedelta | None = None


EXPIRING = (
    ExpiringTable(
        "operations", "id", "r.status NOT IN ('queued', 'running') AND r.finished_at < :before"
    ),
    # a verdict goes with its decision; while that is there, it would look unanswered without it
    ExpiringTable(
        "approvals",
        "decision_id",
        "r.origin_at < :before AND NOT EXISTS (SELECT FROM decisions d "
        "WHERE d.id = r.decision_id AND d.origin_at = r.origin_at)",
    ),
    # the operator follows a pod until it is gone; of a workload that has left it follows none
    ExpiringTable(
        "pod_starts",
        "pod_uid",
        "COALESCE(r.gone_at, r.observed_at) < :before AND (r.gone_at IS NOT NULL OR "
        "NOT (SELECT w.is_active FROM workloads w WHERE w.id = r.workload_id))",
    ),
    # one that lasts has no end yet
    ExpiringTable("workload_absences", "workload_id, left_at", "r.back_at < :before"),
    ExpiringTable("killed_pods", "pod_uid", "r.killed_at < :before"),
    # of each scope stays the newest that serves, and the newest verdict, told as a refusal
    ExpiringTable(
        "posteriors",
        "id",
        "r.fitted_at < :before AND EXISTS (SELECT FROM posteriors n WHERE n.kind = r.kind "
        "AND n.scope = r.scope AND (n.fitted_at, n.id) > (r.fitted_at, r.id) "
        "AND (n.status = r.status OR r.status <> 'promoted') "
        "AND n.summary ->> 'method' IS NOT DISTINCT FROM r.summary ->> 'method')",
    ),
    # left: what serves, what a roll-back would let serve, the newest picks of simple forecasters,
    # an unfinished fit, and the newest fit, whose age says when the next is due
    ExpiringTable(
        "models",
        "id",
        "r.status NOT IN ('promoted', 'training') "
        "AND COALESCE(r.retired_at, r.created_at) < :before "
        "AND r.created_at < (SELECT max(created_at) FROM models) "
        "AND r.id IS DISTINCT FROM (SELECT m.id FROM models m WHERE m.status = 'retired' "
        "AND m.artifact IS NOT NULL ORDER BY m.retired_at DESC, m.id DESC LIMIT 1) "
        "AND r.id IS DISTINCT FROM (SELECT max(m.id) FROM models m "
        "WHERE m.status NOT IN ('failed', 'training') AND m.metrics ? 'picks')",
    ),
    *(
        ExpiringTable(
            name,
            "workload_id, model_version",
            "r.updated_at < :before "
            "AND NOT EXISTS (SELECT FROM models m WHERE m.version = r.model_version)",
        )
        for name in ("calibration_states", "drift_states")
    ),
    ExpiringTable(
        "superseded_origins", "stage, shard, origin_at, is_urgent", "r.superseded_at < :before"
    ),
    # a sum goes when the partition of the scores that it sums up does
    ExpiringTable(
        "coverage_hours",
        "workload_id, hour_at",
        "r.hour_at < to_timestamp(floor(extract(epoch FROM CAST(:before AS timestamptz)) "
        f"/ {_SCORES_S}) * {_SCORES_S})",
    ),
    ExpiringTable("freezes", "id", "LEAST(r.until_at, r.lifted_at) < :before"),
    # while there is a share, all that changes is marked for it, whether or not anybody reads it
    ExpiringTable(
        "gpu_shares", "gpu_type, shard", "r.good_until < :before", kept=timedelta(hours=2)
    ),
    ExpiringTable(
        "gpu_share_marks",
        "id",
        "NOT EXISTS (SELECT FROM gpu_shares s WHERE s.shard = r.shard "
        "AND NOT pg_visible_in_snapshot(r.xact::text::xid8, s.seen_in::pg_snapshot))",
    ),
    # the newest says when drift may ask again
    ExpiringTable(
        "refit_requests",
        "id",
        "r.requested_at < :before "
        "AND r.requested_at < (SELECT max(requested_at) FROM refit_requests)",
    ),
)


def delete_expired(connection: Connection, table: ExpiringTable, before: datetime) -> int:
    """Delete a batch of rows that were over before a time; returns how many.

    Rows that somebody else holds are left to the next batch. Fewer than `BATCH`: that was all.
    """
    statement = text(
        f"DELETE FROM {table.name} WHERE ({table.key}) IN (SELECT {table.key} "  # noqa: S608
        f"FROM {table.name} r WHERE {table.is_over} LIMIT :most FOR UPDATE OF r SKIP LOCKED)"
    )
    return connection.execute(statement, {"before": before, "most": BATCH}).rowcount


def not_kept(decision_id: int) -> str:
    """Why a decision cannot be made again."""
    return (
        f"decision {decision_id} cannot be made again: its inputs and its forecast are kept for "
        "HARMONY_RETAIN_FORECASTS_DAYS only; the decision and its explanation stay"
    )
