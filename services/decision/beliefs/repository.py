"""SQL of the posteriors: what they are fitted on, when they were, and their draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, text

from decider import FloatArray
from services.decision.rows.repository import JOIN_SUPPLY
from services.decision.rows.translate import to_draws
from services.kernel.db import schema
from services.kernel.db.session_lock import session_lock
from services.kernel.domain import WorkloadSpec

FIT_LOCK = "harmony.decide.fit"
NO_POOLS: Mapping[int, str] = {}


def fit_lock(engine: Engine) -> AbstractContextManager[bool]:
    """Be the only fit of posteriors on this database; see `session_lock`."""
    return session_lock(engine, FIT_LOCK)


def has_lead_time_fit(connection: Connection, after: datetime) -> bool:
    """Lead times were fitted after a time, promoted or not."""
    statement = text(
        "SELECT EXISTS (SELECT FROM posteriors WHERE kind = 'lead_time' AND fitted_at > :after)"
    )
    return bool(connection.execute(statement, {"after": after}).scalar_one())


def load_fitted_types(connection: Connection, after: datetime) -> set[str]:
    """GPU types whose capacities were fitted after a time, promoted or not.

    The types that the fit was made for: a workload that moved to another one since has none there.
    """
    statement = text(
        "SELECT DISTINCT summary -> 'learned_for' ->> 'gpu_type' FROM posteriors "
        "WHERE kind = 'response' AND fitted_at > :after"
    )
    return {str(row[0]) for row in connection.execute(statement, {"after": after}) if row[0]}


def load_learning_types(connection: Connection) -> set[str]:
    """GPU types of the active workloads whose spec names a latency indicator."""
    statement = text(
        "SELECT DISTINCT coalesce(spec ->> 'gpu_type', :gpu_type) FROM workloads WHERE is_active "
        "AND coalesce(spec -> 'capacity' ->> 'latency_indicator', '') <> ''"
    )
    given = {"gpu_type": WorkloadSpec.model_fields["gpu_type"].default}
    return {str(row[0]) for row in connection.execute(statement, given)}


def load_learning_workloads(connection: Connection) -> Sequence[RowMapping]:
    """Active workloads whose spec names a latency indicator."""
    statement = text(
        "SELECT id, namespace, name, step_s, spec FROM workloads WHERE is_active "
        "AND coalesce(spec -> 'capacity' ->> 'latency_indicator', '') <> '' ORDER BY id"
    )
    return connection.execute(statement).mappings().all()


def load_measured_workloads(connection: Connection) -> Sequence[RowMapping]:
    """Active workloads with an objective."""
    statement = text(
        "SELECT id, namespace, name, step_s, spec FROM workloads WHERE is_active "
        "AND spec -> 'sla' -> 'objective' ->> 'goals' IS NOT NULL ORDER BY id"
    )
    return connection.execute(statement).mappings().all()


def has_miss_fit(connection: Connection, after: datetime) -> bool:
    """Responses were fitted after a time, promoted or not."""
    statement = text(
        "SELECT EXISTS (SELECT FROM posteriors WHERE kind = 'misses' AND fitted_at > :after "
        "AND summary ->> 'method' = 'pymc')"
    )
    return bool(connection.execute(statement, {"after": after}).scalar_one())


def has_outdated_response(connection: Connection, after: datetime) -> bool:
    """Some active workload with an objective has learned a response, and had no fit since."""
    statement = text(
        "SELECT EXISTS (SELECT FROM workloads w WHERE w.is_active "
        "AND w.spec -> 'sla' -> 'objective' ->> 'goals' IS NOT NULL "
        "AND EXISTS (SELECT FROM posteriors p WHERE p.kind = 'misses' "
        "AND p.scope = 'workload:' || w.id) "
        "AND NOT EXISTS (SELECT FROM posteriors p WHERE p.kind = 'misses' "
        "AND p.scope = 'workload:' || w.id AND p.fitted_at > :after "
        "AND p.summary ->> 'method' = 'pymc'))"
    )
    return bool(connection.execute(statement, {"after": after}).scalar_one())


def load_fitted_scopes(connection: Connection, after: datetime) -> set[str]:
    """Scopes whose responses were fitted after a time, promoted or not."""
    statement = text(
        "SELECT DISTINCT scope FROM posteriors WHERE kind = 'misses' AND fitted_at > :after "
        "AND summary ->> 'method' = 'pymc'"
    )
    return set(connection.execute(statement, {"after": after}).scalars())


def load_latency_steps(
    connection: Connection,
    ids: Sequence[int],
    indicators: Sequence[str],
    first: datetime,
    last: datetime,
) -> Sequence[RowMapping]:
    """Steps with a latency per workload: arrays of step starts, loads per replica and latencies.

    A step in which the number of ready replicas changed is left out: its latency mixes two loads.
    So is one without demand or latency, which tells nothing of the curve, and one on GPUs other
    than those that are stated now.

    Args:
        connection: An open transaction.
        ids: Workloads.
        indicators: Name of each one's latency indicator.
        first: First step start, exclusive.
        last: Last step start, exclusive.
    """
    statement = text(
        "SELECT o.workload_id, "
        "array_agg(extract(epoch FROM o.step_at)::double precision ORDER BY o.step_at) AS steps_s, "
        "array_agg(o.demand / o.ready_mean ORDER BY o.step_at) AS load, "
        "array_agg(i.value::double precision ORDER BY o.step_at) AS latency_ms "
        "FROM unnest(CAST(:ids AS int[]), CAST(:indicators AS text[])) AS w(id, indicator) "
        "JOIN workloads k ON k.id = w.id "
        "JOIN outcomes o ON o.workload_id = w.id AND o.step_at > :first AND o.step_at < :last "
        "AND (k.gpus_since IS NULL OR o.step_at > k.gpus_since) "
        "CROSS JOIN LATERAL (SELECT value, is_observed FROM indicators WHERE workload_id = w.id "
        "AND indicator = w.indicator AND step_at = o.step_at AND step_at > :first "
        "AND step_at < :last) i "
        "WHERE o.demand > 0 AND o.ready_mean > 0.5 "
        "AND abs(o.ready_mean - round(o.ready_mean::numeric)) < 1e-6 "
        "AND i.is_observed AND i.value > 0 AND i.value < 'infinity' "
        "GROUP BY o.workload_id ORDER BY o.workload_id"
    )
    given = {"ids": list(ids), "indicators": list(indicators), "first": first, "last": last}
    return connection.execute(statement, given).mappings().all()


_READY = (
    "CASE WHEN w.pool = '' THEN o.ready_mean "
    "ELSE (o.ready_by_pool ->> w.pool)::double precision END"
)
"""Mean ready replicas that a load falls on: all of them, or those of its pool."""


def load_miss_steps(
    connection: Connection,
    first: Mapping[int, datetime],
    last: datetime,
    max_steps: int,
    pools: Mapping[int, str] = NO_POOLS,
) -> Sequence[RowMapping]:
    """Newest final measured steps per workload: arrays of starts, loads, misses and requests.

    A step without requests, demand or ready replicas says nothing of a load. What was counted by
    other goals, or on other GPUs, says nothing of those that are stated now.

    Args:
        connection: An open transaction.
        first: Start of each workload's first step, exclusive.
        last: Last step start, exclusive.
        max_steps: How many steps of a workload are read at most.
        pools: The pool that the demand falls on, of workloads that have pools.
    """
    statement = text(
        "SELECT w.id AS workload_id, "  # noqa: S608  # fixed fragments
        "array_agg(extract(epoch FROM s.step_at)::double precision ORDER BY s.step_at) AS steps_s, "
        "array_agg(s.load ORDER BY s.step_at) AS load, "
        "array_agg(s.missed ORDER BY s.step_at) AS missed, "
        "array_agg(s.total ORDER BY s.step_at) AS total "
        "FROM unnest(CAST(:ids AS int[]), CAST(:first AS timestamptz[]), CAST(:pools AS text[])) "
        "AS g(id, first_at, pool) JOIN workloads USING (id) CROSS JOIN LATERAL (SELECT "
        "g.id, g.pool, greatest(g.first_at, goals_since, gpus_since) AS first_at) w "
        f"CROSS JOIN LATERAL (SELECT o.step_at, o.demand / {_READY} AS load, "
        "o.sli_miss_high * o.sli_requests AS missed, o.sli_requests AS total FROM outcomes o "
        "WHERE o.workload_id = w.id AND o.step_at > w.first_at AND o.step_at > :earliest "
        "AND o.step_at < :last AND o.is_final AND o.sli_requests > 0 "
        "AND o.sli_requests < 'infinity' AND o.sli_miss_high IS NOT NULL "
        f"AND {_READY} > 0 AND o.demand > 0 AND o.demand < 'infinity' "
        "ORDER BY o.step_at DESC LIMIT :max_steps) s GROUP BY w.id ORDER BY w.id"
    )
    given = {
        "ids": list(first),
        "first": list(first.values()),
        "pools": [pools.get(key, "") for key in first],
        "earliest": min(first.values(), default=last),
        "last": last,
        "max_steps": max_steps,
    }
    return connection.execute(statement, given).mappings().all()


def load_gpus_since(connection: Connection, ids: Sequence[int]) -> dict[int, datetime]:
    """Since when workloads have the GPUs that are stated; where it was always so, none."""
    statement = text(
        "SELECT id, gpus_since FROM workloads WHERE id = ANY(:ids) AND gpus_since IS NOT NULL"
    )
    return {
        int(row.id): row.gpus_since for row in connection.execute(statement, {"ids": list(ids)})
    }


def load_further_loads(
    connection: Connection,
    names: Mapping[int, Mapping[str, str]],
    first: Mapping[int, datetime],
    last: datetime,
) -> Sequence[RowMapping]:
    """Further loads per ready replica in steps with an outcome: arrays of starts and loads.

    Args:
        connection: An open transaction.
        names: Names of the further loads by workload, each with the pool that it falls on; empty:
            there are no pools.
        first: Start of each workload's first step, exclusive.
        last: Last step start, exclusive.
    """
    wanted = [(key, *one) for key, loads in names.items() for one in loads.items()]
    if not wanted:
        return []
    statement = text(
        "SELECT w.id AS workload_id, w.name AS indicator, "  # noqa: S608  # fixed fragments
        "array_agg(extract(epoch FROM i.step_at)::double precision ORDER BY i.step_at) AS steps_s, "
        f"array_agg(i.value::double precision / {_READY} ORDER BY i.step_at) AS load "
        "FROM unnest(CAST(:ids AS int[]), CAST(:names AS text[]), CAST(:pools AS text[]), "
        "CAST(:first AS timestamptz[])) AS w(id, name, pool, first_at) "
        "CROSS JOIN LATERAL (SELECT step_at, value, is_observed FROM indicators "
        "WHERE workload_id = w.id AND indicator = w.name "
        "AND step_at > w.first_at AND step_at > :earliest AND step_at < :last) i "
        "JOIN outcomes o ON o.workload_id = w.id AND o.step_at = i.step_at "
        "AND o.step_at > :earliest AND o.step_at < :last "
        f"AND {_READY} > 0 "
        "WHERE i.is_observed AND i.value >= 0 AND i.value < 'infinity' GROUP BY w.id, w.name"
    )
    given = {
        "ids": [key for key, _, _ in wanted],
        "names": [name for _, name, _ in wanted],
        "pools": [pool for _, _, pool in wanted],
        "first": [first[key] for key, _, _ in wanted],
        "earliest": min(first[key] for key, _, _ in wanted),
        "last": last,
    }
    return connection.execute(statement, given).mappings().all()


def load_gauges(
    connection: Connection,
    names: Mapping[int, Sequence[str]],
    first: Mapping[int, datetime],
    last: datetime,
) -> Sequence[RowMapping]:
    """Means of the steps of workloads, as observed: per series arrays of starts and values.

    Args:
        connection: An open transaction.
        names: Names of the series by workload; empty: nothing is read.
        first: Start of each workload's first step, exclusive.
        last: Last step start, exclusive.
    """
    wanted = [(key, name) for key, of in names.items() for name in of]
    if not wanted:
        return []
    statement = text(
        "SELECT w.id AS workload_id, w.name AS indicator, "
        "array_agg(extract(epoch FROM i.step_at)::double precision ORDER BY i.step_at) AS steps_s, "
        "array_agg(i.value::double precision ORDER BY i.step_at) AS values "
        "FROM unnest(CAST(:ids AS int[]), CAST(:names AS text[]), CAST(:first AS timestamptz[])) "
        "AS w(id, name, first_at) "
        "CROSS JOIN LATERAL (SELECT step_at, value FROM indicators "
        "WHERE workload_id = w.id AND indicator = w.name AND is_observed "
        "AND step_at > w.first_at AND step_at > :earliest AND step_at < :last) i "
        "WHERE i.value >= 0 AND i.value < 'infinity' GROUP BY w.id, w.name"
    )
    given = {
        "ids": [key for key, _ in wanted],
        "names": [name for _, name in wanted],
        "first": [first[key] for key, _ in wanted],
        "earliest": min(first[key] for key, _ in wanted),
        "last": last,
    }
    return connection.execute(statement, given).mappings().all()


def load_ready_mixes(
    connection: Connection, first: Mapping[int, datetime], last: datetime
) -> Sequence[RowMapping]:
    """Ready replicas of workloads with variants: arrays of starts, means, and of each variant's.

    Args:
        connection: An open transaction.
        first: Start of each workload's first step, exclusive.
        last: Last step start, exclusive.
    """
    if not first:
        return []
    statement = text(
        "SELECT w.id AS workload_id, "
        "array_agg(extract(epoch FROM o.step_at)::double precision ORDER BY o.step_at) AS steps_s, "
        "array_agg(o.ready_mean ORDER BY o.step_at) AS ready_mean, "
        "jsonb_agg(o.ready_by_pool ORDER BY o.step_at) AS ready "
        "FROM unnest(CAST(:ids AS int[]), CAST(:first AS timestamptz[])) AS w(id, first_at) "
        "JOIN outcomes o ON o.workload_id = w.id AND o.step_at > w.first_at "
        "AND o.step_at > :earliest AND o.step_at < :last AND o.ready_by_pool IS NOT NULL "
        "AND o.ready_mean > 0 GROUP BY w.id"
    )
    given = {
        "ids": list(first),
        "first": list(first.values()),
        "earliest": min(first.values()),
        "last": last,
    }
    return connection.execute(statement, given).mappings().all()


def load_newest_counts(
    connection: Connection, ids: Sequence[int], last: datetime
) -> dict[int, Mapping[str, Mapping[str, Any]]]:
    """Newest snapshot of the replicas of each variant, by workload; without one it is not there."""
    if not ids:
        return {}
    statement = text(
        "SELECT w.id, s.variants FROM unnest(CAST(:ids AS int[])) AS w(id) CROSS JOIN LATERAL ("
        "SELECT r.variants FROM replica_states r WHERE r.workload_id = w.id "
        "AND r.observed_at <= :last ORDER BY r.observed_at DESC LIMIT 1) s "
        "WHERE s.variants IS NOT NULL"
    )
    rows = connection.execute(statement, {"ids": list(ids), "last": last})
    return {int(row.id): row.variants for row in rows}


def load_all_starts(connection: Connection, since: datetime) -> Sequence[RowMapping]:
    """Starts of all workloads since a time, for the posteriors.

    Left out are those on new nodes, whose wait is not the service's own. `is_provisioned` is as in
    `load_pod_starts`.
    """
    statement = text(
        "SELECT p.workload_id, p.gpu_type, p.requested_at, p.ready_at, p.gone_at, p.observed_at, "  # noqa: S608
        "p.bound_at, p.is_new_node, p.cause, s.ceiling IS NOT NULL AS is_provisioned "
        f"FROM pod_starts p {JOIN_SUPPLY} "
        "WHERE p.requested_at >= :since AND p.is_new_node IS NOT TRUE "
        "ORDER BY p.workload_id, p.requested_at, p.pod_uid"
    )
    return connection.execute(statement, {"since": since}).mappings().all()


def load_posteriors(
    connection: Connection, kind: str, scopes: Sequence[str]
) -> Sequence[RowMapping]:
    """Newest promoted posterior of each scope."""
    statement = text(
        "SELECT DISTINCT ON (scope) scope, summary, draws, fitted_at, n_observations "
        "FROM posteriors "
        "WHERE kind = :kind AND scope = ANY(:scopes) AND status = 'promoted' "
        "ORDER BY scope, fitted_at DESC, id DESC"
    )
    return connection.execute(statement, {"kind": kind, "scopes": list(scopes)}).mappings().all()


def load_refusals(connection: Connection, kind: str, scopes: Sequence[str]) -> dict[str, str]:
    """Why the newest posterior of a scope was rejected, where it was."""
    statement = text(
        "SELECT scope, reason FROM (SELECT DISTINCT ON (scope) scope, status, reason "
        "FROM posteriors WHERE kind = :kind AND scope = ANY(:scopes) "
        "ORDER BY scope, fitted_at DESC, id DESC) newest WHERE status = 'rejected'"
    )
    rows = connection.execute(statement, {"kind": kind, "scopes": list(scopes)})
    return {str(row.scope): str(row.reason) for row in rows}


def load_draws(connection: Connection, kind: str, scopes: Sequence[str]) -> dict[str, FloatArray]:
    """(P,) draws of the newest promoted posterior of each scope."""
    rows = load_posteriors(connection, kind, scopes)
    return {str(row["scope"]): to_draws(row["draws"]) for row in rows if row["draws"]}


def store_posterior(connection: Connection, row: dict[str, Any]) -> None:
    """Store one fitted posterior; a promoted one replaces its scope's last."""
    connection.execute(schema.posteriors.insert().values(**row))


def replace_particles(connection: Connection, row: dict[str, Any]) -> None:
    """Store a response learned at a decision instead of the one learned so before."""
    statement = text(
        "DELETE FROM posteriors WHERE kind = :kind AND scope = :scope "
        "AND summary ->> 'method' = :method"
    )
    given = {"kind": row["kind"], "scope": row["scope"], "method": row["summary"]["method"]}
    connection.execute(statement, given)
    store_posterior(connection, row)
