"""All SQL of the demo: waiting for the pipeline, and counting rows along the chain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, func, select, text

from services.decision.decide.lock_repository import lock_shard
from services.kernel.db.schema import (
    SEQUENCES,
    actions,
    decisions,
    forecasts,
    metadata,
    pod_starts,
    posteriors,
    replica_states,
    risk_states,
    workloads,
)

_DEMO_MARK = "harmony demo"
_FUNCTIONS = (
    *("current_cluster", "forget_gpu_shares", "indicator_layout", "indicator_state"),
    *("mark_decisions_insert", "mark_intents_delete", "mark_intents_insert"),
    *("mark_replica_states_insert", "mark_workloads_insert", "mark_workloads_update"),
    *("merge_indicator_steps", "move_indicator_values", "note_absence", "note_all_indicators"),
    *("note_api_event", "note_indicator_changes", "note_spec_change", "refuse_audit_change"),
    *("stated_goals", "stated_gpus", "sum_coverage", "write_indicator"),
)
"""What the migrations make; a test holds that nothing of it stays."""


def holds_other_data(engine: Engine) -> bool:
    """Check whether the database has Harmony tables with workloads that no demo made."""
    with engine.connect() as connection:
        if connection.execute(text("SELECT to_regclass('workloads')")).scalar() is None:
            return False
        if _mark(connection) == _DEMO_MARK:
            return False
        return bool(connection.execute(select(func.count()).select_from(workloads)).scalar())


def drop_everything(engine: Engine) -> None:
    """Drop Harmony's tables, views, functions and sequences, and nothing else."""
    names = ", ".join(metadata.tables)
    with engine.begin() as connection:
        connection.execute(text(f"DROP TABLE IF EXISTS alembic_version, {names} CASCADE"))
        # before migration 0018 it was a table; the view has gone with what it shows
        connection.execute(text("DROP TABLE IF EXISTS indicators CASCADE"))
        for sequence in SEQUENCES:
            connection.execute(text(f"DROP SEQUENCE IF EXISTS {sequence}"))
        for function in _FUNCTIONS:
            connection.execute(text(f"DROP FUNCTION IF EXISTS {function} CASCADE"))
        connection.execute(text("DROP SCHEMA IF EXISTS cell CASCADE"))


def forgo_durability(engine: Engine) -> None:
    """Wait for no disk: each demo begins anew, so that what a killed server loses is no loss."""
    with engine.begin() as connection:
        name = connection.execute(text("SELECT quote_ident(current_database())")).scalar()
        connection.execute(text(f"ALTER DATABASE {name} SET synchronous_commit = off"))
    engine.dispose()  # a connection has the setting from its start


def mark_as_demo(engine: Engine) -> None:
    """Remember that what is in the database is a demo's and may be dropped by the next."""
    with engine.begin() as connection:
        connection.execute(text(f"COMMENT ON TABLE workloads IS '{_DEMO_MARK}'"))


def _mark(connection: Connection) -> str | None:
    query = text("SELECT obj_description(to_regclass('workloads')::oid, 'pg_class')")
    found = connection.execute(query).scalar()
    return None if found is None else str(found)


def workload_ids(engine: Engine) -> dict[str, int]:
    """Id of each active workload by `namespace/name`."""
    query = select(workloads.c.id, workloads.c.namespace, workloads.c.name).where(
        workloads.c.is_active
    )
    with engine.connect() as connection:
        return {f"{row.namespace}/{row.name}": int(row.id) for row in connection.execute(query)}


def shards_of(engine: Engine) -> list[int]:
    """Shards that the active workloads are in."""
    query = select(workloads.c.shard).where(workloads.c.is_active).distinct()
    with engine.connect() as connection:
        return sorted(int(shard) for shard in connection.execute(query).scalars())


def n_responses(engine: Engine) -> int:
    """How many workloads have a response."""
    query = select(func.count(posteriors.c.scope.distinct())).where(
        posteriors.c.kind == "misses", posteriors.c.scope.startswith("workload:")
    )
    with engine.connect() as connection:
        return int(connection.execute(query).scalar_one())


@contextmanager
def decisions_held(engine: Engine, shards: Sequence[int]) -> Iterator[None]:
    """Decisions of `shards` wait until the block ends, as two of one shard wait for each other."""
    with engine.begin() as connection:
        for shard in shards:
            lock_shard(connection, shard)
        yield


def n_states_at(engine: Engine, at: datetime) -> int:
    """Workloads whose replica state at `at` is stored."""
    query = select(func.count()).select_from(replica_states)
    return _count(engine, query.where(replica_states.c.observed_at >= at))


def n_settled(engine: Engine, origin_at: datetime) -> int:
    """Workloads whose decision for `origin_at` has an action, or a named reason for none."""
    query = select(func.count(actions.c.workload_id.distinct()))
    return _count(engine, query.where(actions.c.origin_at == origin_at))


def stage_counts(engine: Engine, origin_at: datetime) -> dict[str, int]:
    """Rows of each stage at one origin, for the message when the pipeline does not get on."""
    found = {}
    for name, table in (("forecasts", forecasts), ("decisions", decisions), ("actions", actions)):
        query = select(func.count()).select_from(table).where(table.c.origin_at == origin_at)
        found[name] = _count(engine, query)
    return found


@dataclass(frozen=True, slots=True)
class ForecastCount:
    """What made some of the forecasts.

    Attributes:
        rung: Rung of the ladder that answered.
        version: Version of the model that served.
        n: Forecasts.
    """

    rung: str
    version: str
    n: int


def forecast_sources(engine: Engine, first_origin_at: datetime) -> list[ForecastCount]:
    """What made the forecasts since the replay began, most forecasts first."""
    query = (
        select(forecasts.c.rung, forecasts.c.model_version, func.count().label("n"))
        .where(forecasts.c.origin_at >= first_origin_at)
        .group_by(forecasts.c.rung, forecasts.c.model_version)
        .order_by(func.count().desc(), forecasts.c.rung, forecasts.c.model_version)
    )
    with engine.connect() as connection:
        return [ForecastCount(*row) for row in connection.execute(query)]


def next_step_forecasts(engine: Engine, workload_id: int, first: datetime) -> list[Any]:
    """Forecasts of one step ahead since `first`, oldest first.

    Returns:
        Rows with `origin_at`, `quantile_levels` (Q,), `quantiles` (Q,), `rung`.
    """
    query = text("""
        SELECT origin_at, quantile_levels, rung,
               ARRAY(SELECT unnest(quantiles[:][1:1])) AS quantiles
        FROM forecasts WHERE workload_id = :workload AND origin_at >= :first ORDER BY origin_at
    """)
    with engine.connect() as connection:
        return list(connection.execute(query, {"workload": workload_id, "first": first}))


_CHAIN = text("""
SELECT
  (SELECT count(*) FROM forecasts WHERE origin_at >= :first) AS forecasts,
  (SELECT count(*) FROM decisions WHERE origin_at >= :first) AS decisions,
  (SELECT count(*) FROM actions WHERE origin_at >= :first) AS actions,
  (SELECT count(*) FROM outcomes WHERE step_at >= :first) AS outcomes,
  (SELECT count(*) FROM forecasts f WHERE origin_at >= :first AND NOT EXISTS (
     SELECT FROM decisions d WHERE d.forecast_id = f.id AND d.origin_at = f.origin_at))
     AS forecasts_without_decision,
  (SELECT count(*) FROM decisions d WHERE origin_at >= :first AND NOT EXISTS (
     SELECT FROM actions a WHERE a.decision_id = d.id AND a.origin_at = d.origin_at))
     AS decisions_without_action,
  (SELECT count(*) FROM actions a WHERE origin_at >= :first AND NOT EXISTS (
     SELECT FROM decisions d WHERE d.id = a.decision_id AND d.origin_at = a.origin_at))
     AS actions_without_decision,
  (SELECT count(*) FROM (SELECT 1 FROM decisions WHERE origin_at >= :first
     GROUP BY workload_id, origin_at HAVING count(*) > 1) twice) AS decided_twice,
  (SELECT count(*) FROM (SELECT 1 FROM actions WHERE origin_at >= :first AND result = 'applied'
     GROUP BY decision_id HAVING count(*) > 1) twice) AS applied_twice
""")


def chain_counts(engine: Engine, first_origin_at: datetime) -> dict[str, int]:
    """Rows of each stage since the replay began, and what must be zero: orphans, duplicates."""
    with engine.connect() as connection:
        row = connection.execute(_CHAIN, {"first": first_origin_at}).one()
    return {name: int(value) for name, value in row._mapping.items()}


def n_measured_starts(engine: Engine) -> int:
    """Pod starts whose lead time has been measured."""
    query = select(func.count()).select_from(pod_starts).where(pod_starts.c.ready_at.is_not(None))
    return _count(engine, query)


def measured_starts(engine: Engine) -> dict[int, list[float]]:
    """Seconds from request to ready of every start that was measured, by workload."""
    query = text("""
        SELECT workload_id, extract(epoch FROM ready_at - requested_at) AS seconds
        FROM pod_starts WHERE ready_at IS NOT NULL ORDER BY workload_id, ready_at
    """)
    found: dict[int, list[float]] = {}
    with engine.connect() as connection:
        for row in connection.execute(query):
            found.setdefault(int(row.workload_id), []).append(float(row.seconds))
    return found


def believed_violation_ratio(engine: Engine, first_step_at: datetime) -> float | None:
    """Share of time out of SLA by the capacity that the platform believed, stated or learned."""
    query = text("SELECT avg(violation_ratio) FROM outcomes WHERE step_at >= :first")
    with engine.connect() as connection:
        found = connection.execute(query, {"first": first_step_at}).scalar()
    return None if found is None else float(found)


def felt_violation_ratios(engine: Engine, first_step_at: datetime) -> dict[int, float]:
    """Share of time out of SLA that the platform counted of requests, by workload it counted."""
    query = text("""
        SELECT workload_id, avg(measured_violation_ratio) AS share FROM outcomes
        WHERE step_at >= :first AND measured_violation_ratio IS NOT NULL GROUP BY workload_id
    """)
    with engine.connect() as connection:
        rows = connection.execute(query, {"first": first_step_at})
        return {int(row.workload_id): float(row.share) for row in rows}


def n_decided_for_queues(engine: Engine, first_origin_at: datetime) -> int:
    """Decisions that ask for more replicas since requests wait, as far as guards let them."""
    query = text("""
        SELECT count(*) FROM decisions WHERE origin_at >= :first
        AND (explanation #>> '{counterfactuals,nothing_waiting}')::int
            < least(raw_replicas, desired_replicas)
    """)
    with engine.connect() as connection:
        return int(connection.execute(query, {"first": first_origin_at}).scalar_one())


def n_measured_workloads(engine: Engine) -> int:
    """Workloads whose objective is measured."""
    query = select(func.count()).select_from(risk_states)
    return _count(engine, query.where(risk_states.c.state["sli_status"].astext == "Measured"))


def _count(engine: Engine, query: Any) -> int:
    with engine.connect() as connection:
        return int(connection.execute(query).scalar_one())


class Doorbell:
    """Listener for the pipeline's notifications, so that the replay need not poll often."""

    def __init__(self, database_url: str, channels: Sequence[str]) -> None:
        """Listen on `channels`."""
        self._connection = psycopg.connect(database_url, autocommit=True)
        for channel in channels:
            self._connection.execute(f"LISTEN {channel}".encode())

    def wait(self, seconds: float) -> None:
        """Return when it rings, or after `seconds`."""
        for _ in self._connection.notifies(timeout=seconds, stop_after=1):
            return

    def ring(self, channel: str, payload: str) -> None:
        """Tell the listeners of `channel`."""
        self._connection.execute("SELECT pg_notify(%s, %s)", (channel, payload))

    def close(self) -> None:
        """Stop listening."""
        self._connection.close()
