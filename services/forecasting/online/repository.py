"""SQL of drift: states per workload and model, refits asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, func, insert, select, text, update

from services.forecasting.registry.repository import FAILED, TRAINING
from services.kernel.db.schema import drift_states, models, refit_requests
from services.kernel.db.session import CopyTarget, copy_rows


@dataclass(frozen=True, slots=True)
class DriftRow:
    """Drift of one workload as it is stored; see docs/data-model.md."""

    workload_id: int
    state: dict[str, Any]
    kind: str | None
    severity: float | None
    drifted_since: datetime | None
    reason: str


@dataclass(frozen=True, slots=True)
class DriftCount:
    """Drift of the fleet under one model.

    Attributes:
        n_watched: Active workloads with a state.
        n_drifted: Those that drift.
        n_new: Those whose outcomes have contradicted the forecasts since after the last fit.
        worst: Reason of the most severe one; empty when none drifts.
    """

    n_watched: int
    n_drifted: int
    n_new: int
    worst: str


_DRIFT = CopyTarget(
    drift_states,
    (
        *("workload_id", "model_version", "state", "kind", "severity", "drifted_since", "reason"),
        "updated_at",
    ),
    "update",
    ("workload_id", "model_version"),
)


def load_drift(
    connection: Connection, workload_ids: Sequence[int], model_version: str
) -> dict[int, dict[str, Any]]:
    """Drift state per workload id."""
    statement = text(
        "SELECT workload_id, state FROM drift_states "
        "WHERE workload_id = ANY(:ids) AND model_version = :version"
    )
    rows = connection.execute(statement, {"ids": list(workload_ids), "version": model_version})
    return {r.workload_id: r.state for r in rows}


def save_drift(
    connection: Connection, model_version: str, rows: Sequence[DriftRow], at: datetime
) -> None:
    """Overwrite drift states."""
    values = [
        (
            row.workload_id,
            model_version,
            orjson.dumps(row.state, option=orjson.OPT_SERIALIZE_NUMPY).decode(),
            row.kind,
            row.severity,
            row.drifted_since,
            row.reason,
            at,
        )
        for row in rows
    ]
    copy_rows(connection, _DRIFT, values)


def count_drift(
    connection: Connection, model_version: str, kinds: Sequence[str], last_fit_at: datetime | None
) -> DriftCount:
    """Count how much of the fleet drifts under a model, by the worst kind or failing forecasts.

    Where some of the input is lost, what is seen is true: forecasts that fail count, however much
    is lost. A stuck input is not true, so they count if they began to fail before it. What else
    differs in such an input is an effect of that.

    Args:
        connection: An open transaction.
        model_version: The model.
        kinds: Those that are counted where they are the worst; `pit` beside worse ones, too.
        last_fit_at: When the last fit ended that had a verdict; None: there was none.
    """
    statement = text(
        "SELECT count(*) AS n_watched, count(*) FILTER (WHERE f.is_drifted) AS n_drifted, "
        "count(*) FILTER (WHERE f.is_drifted AND f.pit_at "
        "  > coalesce(:fit_at, '-infinity'::timestamptz)) AS n_new, "
        "coalesce((array_agg(w.namespace || '/' || w.name || ': ' || f.reason "
        "  ORDER BY f.severity DESC) FILTER (WHERE f.is_drifted))[1], '') AS worst "
        "FROM drift_states d JOIN workloads w ON w.id = d.workload_id AND w.is_active "
        "CROSS JOIN LATERAL (SELECT "
        "  CASE WHEN 'pit' = ANY(:kinds) THEN "
        "    to_timestamp(CAST(d.state->'since'->>'pit' AS bigint)) END AS pit_at, "
        "  to_timestamp(CAST(d.state->'since'->>'stuck' AS bigint)) AS stuck_at, "
        "  coalesce(d.kind = ANY(:kinds), false) AS is_worst) s "
        "CROSS JOIN LATERAL (SELECT s.pit_at, s.is_worst OR (s.pit_at IS NOT NULL "
        "    AND s.pit_at < coalesce(s.stuck_at, 'infinity'::timestamptz)) AS is_drifted, "
        "  CASE WHEN s.is_worst THEN d.severity ELSE coalesce(CAST("
        "    d.state->'severities'->>'pit' AS double precision), 1) END AS severity, "
        "  CASE WHEN s.is_worst THEN d.reason "
        "    ELSE 'forecasts fail beside ' || d.kind || ', ' || d.reason END AS reason) f "
        "WHERE d.model_version = :version"
    )
    parameters = {"kinds": list(kinds), "version": model_version, "fit_at": last_fit_at}
    return DriftCount(*connection.execute(statement, parameters).one())


@dataclass(frozen=True, slots=True)
class PastFits:
    """When fits were made.

    Attributes:
        judged_at: When the last one with a verdict ended; None: there is none.
        failed_at: When the last one failed.
        n_failed: So many have failed since the last verdict.
        newest_at: When the last one began (while it runs) or ended, whatever came of it.
    """

    judged_at: datetime | None
    failed_at: datetime | None
    n_failed: int
    newest_at: datetime | None


def load_past_fits(connection: Connection) -> PastFits:
    """What is known of the fits that were made."""
    statement = text(
        "SELECT j.at AS judged_at, max(m.created_at) FILTER (WHERE m.status = :failed) "
        "  AS failed_at, count(*) FILTER (WHERE m.status = :failed "
        "  AND m.created_at > coalesce(j.at, '-infinity'::timestamptz)) AS n_failed, "
        "max(m.created_at) AS newest_at FROM (SELECT max(created_at) AS at FROM models "
        "  WHERE status NOT IN (:failed, :training)) j LEFT JOIN models m ON true GROUP BY j.at"
    )
    given = {"failed": FAILED, "training": TRAINING}
    return PastFits(*connection.execute(statement, given).one())


def load_registered_at(connection: Connection, model_version: str) -> datetime | None:
    """When a model was registered; None when there is no such model."""
    query = select(models.c.created_at).where(models.c.version == model_version)
    return connection.execute(query).scalar_one_or_none()


def load_last_request_at(connection: Connection) -> datetime | None:
    """When drift last asked for a fit."""
    query = select(func.max(refit_requests.c.requested_at))
    found: datetime | None = connection.execute(query).scalar_one()
    return found


def insert_request(
    connection: Connection, model_version: str, count: DriftCount, reason: str, at: datetime
) -> int:
    """Note that drift asks for a fit; returns its id, the payload of the job."""
    statement = insert(refit_requests).values(
        model_version=model_version,
        n_drifted=count.n_drifted,
        n_watched=count.n_watched,
        reason=reason,
        requested_at=at,
    )
    return int(connection.execute(statement.returning(refit_requests.c.id)).scalar_one())


def load_request(connection: Connection, request_id: int) -> str | None:
    """Why drift asked for a fit; None when there is no such request."""
    query = select(refit_requests.c.reason).where(refit_requests.c.id == request_id)
    return connection.execute(query).scalar_one_or_none()


def append_reason(connection: Connection, model_version: str, more: str) -> None:
    """Add to a model's reason."""
    statement = update(models).where(models.c.version == model_version)
    connection.execute(statement.values(reason=models.c.reason.concat(f"; {more}")))
