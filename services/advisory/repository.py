"""SQL of the advisory report: of each workload what ran, its cost, and what had been decided."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, RowMapping, text

from services.advisory.rows import SeenStart


def load_workloads(connection: Connection, namespace: str, name: str) -> list[RowMapping]:
    """Active workloads; of one namespace or name where these are given."""
    statement = text(
        "SELECT id, namespace, name, step_s, spec, created_at, updated_at FROM workloads "
        "WHERE is_active "
        "AND :namespace IN ('', namespace) AND :name IN ('', name) ORDER BY namespace, name, id"
    )
    return list(connection.execute(statement, {"namespace": namespace, "name": name}).mappings())


def load_absences(
    connection: Connection, workload_id: int, from_at: datetime, to_at: datetime
) -> list[tuple[datetime, datetime]]:
    """Times that a workload was away in the window: when it left, and when it was back."""
    statement = text(
        "SELECT left_at, back_at FROM workload_absences WHERE workload_id = :workload_id "
        "AND left_at < :to_at AND back_at > :from_at ORDER BY left_at"
    )
    found = connection.execute(statement, _window(workload_id, from_at, to_at))
    return [(row.left_at, row.back_at) for row in found]


def load_left(
    connection: Connection, namespace: str, name: str, since: datetime
) -> list[RowMapping]:
    """Workloads that left after `since` and are not back; `updated_at` says when."""
    statement = text(
        "SELECT namespace, name, updated_at FROM workloads WHERE NOT is_active "
        "AND updated_at > :since AND :namespace IN ('', namespace) AND :name IN ('', name) "
        "ORDER BY namespace, name, id"
    )
    given = {"namespace": namespace, "name": name, "since": since}
    return list(connection.execute(statement, given).mappings())


def load_outcomes(
    connection: Connection, workload_id: int, from_at: datetime, to_at: datetime
) -> list[RowMapping]:
    """Outcomes of a workload's steps with `from_at <= step_at < to_at`, oldest first."""
    statement = text(
        "SELECT step_at, cost_usd, gpu_hours, ready_mean, needed_replicas, violation_ratio, "
        "CASE WHEN is_final THEN measured_violation_ratio END AS measured_violation_ratio, "
        "CASE WHEN is_final THEN sli_requests END AS sli_requests, "
        "CASE WHEN is_final THEN sli_miss_high END AS sli_miss_high "
        "FROM outcomes WHERE workload_id = :workload_id "
        "AND step_at >= :from_at AND step_at < :to_at ORDER BY step_at"
    )
    return list(connection.execute(statement, _window(workload_id, from_at, to_at)).mappings())


def load_decisions(
    connection: Connection, workload_id: int, from_at: datetime, to_at: datetime
) -> list[RowMapping]:
    """Decisions in force somewhere in the window, by origin, each with its newest action.

    Of two at one origin the newer is the one that counts.
    """
    statement = text(
        "SELECT DISTINCT ON (d.origin_at) d.origin_at, d.decided_at, d.valid_until, "
        "d.current_replicas, d.raw_replicas, d.desired_replicas, a.result, a.reason "
        "FROM decisions d LEFT JOIN LATERAL ("
        "  SELECT result, reason FROM actions WHERE workload_id = d.workload_id "
        "  AND decision_id = d.id AND origin_at = d.origin_at ORDER BY attempt DESC LIMIT 1"
        ") a ON true "
        "WHERE d.workload_id = :workload_id AND d.valid_until > :from_at AND d.origin_at < :to_at "
        "AND d.origin_at >= CAST(:from_at AS timestamptz) - interval '1 day' "
        "ORDER BY d.origin_at, d.id DESC"
    )
    return list(connection.execute(statement, _window(workload_id, from_at, to_at)).mappings())


def load_starts(
    connection: Connection, workload_id: int, from_at: datetime, to_at: datetime
) -> list[SeenStart]:
    """The window's starts in their order; one that did not end is as old as when last seen."""
    statement = text(
        "SELECT * FROM ("
        "  SELECT extract(epoch FROM coalesce(ready_at, gone_at, observed_at) - requested_at)"
        "    ::double precision AS seconds, ready_at IS NOT NULL AS is_ready, requested_at, pod_uid"
        "  FROM pod_starts WHERE workload_id = :workload_id "
        "  AND requested_at >= :from_at AND requested_at < :to_at"
        ") s WHERE seconds >= 0 ORDER BY requested_at, pod_uid"
    )
    found = connection.execute(statement, _window(workload_id, from_at, to_at))
    return [SeenStart(float(row.seconds), bool(row.is_ready)) for row in found]


def load_replica_range(
    connection: Connection, workload_id: int, from_at: datetime, to_at: datetime
) -> tuple[int, int] | None:
    """Fewest and most replicas that were asked for in the window; None: nobody told of any."""
    statement = text(
        "SELECT min(spec_replicas), max(spec_replicas) FROM replica_states "
        "WHERE workload_id = :workload_id AND observed_at >= :from_at AND observed_at < :to_at"
    )
    low, high = connection.execute(statement, _window(workload_id, from_at, to_at)).one()
    return None if low is None else (int(low), int(high))


def load_starting(
    connection: Connection, workload_id: int, from_at: datetime, to_at: datetime
) -> list[tuple[datetime, datetime]]:
    """When replicas were starting in the window: from each such snapshot until the next one."""
    statement = text(
        "SELECT observed_at, until FROM ("
        "  SELECT observed_at, starting_replicas, "
        "    lead(observed_at, 1, CAST(:to_at AS timestamptz)) OVER (ORDER BY observed_at) AS until"
        "  FROM replica_states WHERE workload_id = :workload_id AND observed_at < :to_at "
        "  AND observed_at >= coalesce((SELECT max(observed_at) FROM replica_states "
        "    WHERE workload_id = :workload_id AND observed_at <= :from_at), :from_at)"
        ") s WHERE starting_replicas > 0 ORDER BY observed_at"
    )
    found = connection.execute(statement, _window(workload_id, from_at, to_at))
    return [(row.observed_at, row.until) for row in found]


def _window(workload_id: int, from_at: datetime, to_at: datetime) -> dict[str, object]:
    return {"workload_id": workload_id, "from_at": from_at, "to_at": to_at}
