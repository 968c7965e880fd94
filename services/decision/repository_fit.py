"""SQL of what capacities are learned from: steps with a load per ready replica and a latency."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, RowMapping, text


def load_learning_workloads(connection: Connection) -> Sequence[RowMapping]:
    """Active workloads whose spec names a latency indicator."""
    statement = text(
        "SELECT id, namespace, name, step_s, spec FROM workloads WHERE is_active "
        "AND coalesce(spec -> 'capacity' ->> 'latency_indicator', '') <> '' ORDER BY id"
    )
    return connection.execute(statement).mappings().all()


def load_latency_steps(
    connection: Connection,
    ids: Sequence[int],
    indicators: Sequence[str],
    window: tuple[datetime, datetime],
) -> Sequence[RowMapping]:
    """Steps with a latency per workload: arrays of step starts, loads per replica and latencies.

    A step in which the number of ready replicas changed is left out: its latency mixes two loads.
    So is one without demand or latency, which tells nothing of the curve.

    Args:
        connection: An open transaction.
        ids: Workloads.
        indicators: Name of each one's latency indicator.
        window: First step start, exclusive, and last, exclusive.
    """
    statement = text(
        "SELECT o.workload_id, "
        "array_agg(extract(epoch FROM o.step_at)::double precision ORDER BY o.step_at) AS steps_s, "
        "array_agg(o.demand / o.ready_mean ORDER BY o.step_at) AS load, "
        "array_agg(i.value::double precision ORDER BY o.step_at) AS latency_ms "
        "FROM unnest(CAST(:ids AS int[]), CAST(:indicators AS text[])) AS w(id, indicator) "
        "JOIN outcomes o ON o.workload_id = w.id AND o.step_at > :first AND o.step_at < :last "
        "JOIN indicators i ON i.workload_id = w.id AND i.indicator = w.indicator "
        "AND i.step_at = o.step_at AND i.step_at > :first AND i.step_at < :last "
        "WHERE o.demand > 0 AND o.ready_mean > 0.5 "
        "AND abs(o.ready_mean - round(o.ready_mean::numeric)) < 1e-6 "
        "AND i.is_observed AND i.value > 0 AND i.value < 'infinity' "
        "GROUP BY o.workload_id ORDER BY o.workload_id"
    )
    given = {
        "ids": list(ids),
        "indicators": list(indicators),
        "first": window[0],
        "last": window[1],
    }
    return connection.execute(statement, given).mappings().all()
