"""SQL that fills a database with the rows of a fleet, by the server itself, a day at a time.

What a reader's query meets is what counts: as many rows, of the same width, under the same keys.
The values are made up, and replay inputs are left out (no list or detail reads them).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from services.kernel.db.partitions import ensure_partitions
from services.kernel.db.steps.blocks import SEEN
from services.kernel.domain import (
    CapacitySpec,
    IndicatorSpec,
    SlaSpec,
    WorkloadSpec,
)

DEMAND = "output_tokens_per_s"
LEVELS = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
HORIZON = 12
INDICATORS = (
    IndicatorSpec(name=DEMAND, level=1, unit="tokens/s"),
    IndicatorSpec(name="queue_requests", level=2, unit="requests"),
    IndicatorSpec(name="gpu_duty_ratio", level=3, unit="ratio"),
)


@dataclass(frozen=True, slots=True)
class StoredHistory:
    """Size of the history to store: workloads, and the steps of each until `end_at`.

    Attributes:
        n_days: Days that are stored; a part of a day is its newest part.
        indicators: Of each workload; the first is the demand.
        kept: Of a table, the days before `end_at` of which it has rows; not named: all.
        shard_size: Workloads of a shard.
    """

    n_workloads: int
    n_days: float
    step_s: int
    end_at: datetime
    indicators: tuple[IndicatorSpec, ...] = INDICATORS
    kept: Mapping[str, float] = field(default_factory=dict)
    shard_size: int = 256

    @property
    def n_steps(self) -> int:
        """Steps of each workload."""
        return int(self.n_days * 86_400 // self.step_s)


_STEPS = (
    "FROM generate_series(1, :n_workloads) AS w(id) CROSS JOIN LATERAL (SELECT at, "
    "(extract(epoch FROM at)::bigint / :step_s) AS k FROM generate_series("
    "CAST(:first_at AS timestamptz), CAST(:last_at AS timestamptz), "
    "make_interval(secs => :step_s)) AS g(at)) s"
)
_ID = "(s.k * 100000 + w.id)"
_DONE = "s.at + make_interval(secs => :step_s)"
_COUNT = "(6 + (4 * sin(s.k / 40.0 + w.id))::int)"

_TABLES = {
    "indicator_steps": (
        'INSERT INTO indicator_steps (workload_id, layout_id, step_at, "values", states) '
        "SELECT w.id, l.id, s.at, array_fill((900 * (8 + 4 * sin(s.k / 40.0 + w.id)))::real, "
        "ARRAY[octet_length(CAST(:seen AS bytea))]), CAST(:seen AS bytea) "
        f"{_STEPS} CROSS JOIN (SELECT indicator_layout(CAST(:names AS text[])) AS id OFFSET 0) l"
    ),
    "forecasts": (
        "INSERT INTO forecasts (id, origin_at, workload_id, model_version, rung, reason, step_s, "
        "n_horizon, quantile_levels, quantiles, n_paths, created_at) "
        f"SELECT {_ID}, s.at, w.id, 'harmony-flow-3', 'model', '', :step_s, :horizon, "
        f"CAST(:levels AS real[]), CAST(:quantiles AS real[]), 200, {_DONE} {_STEPS}"
    ),
    "forecast_scores": (
        "INSERT INTO forecast_scores (forecast_id, origin_at, workload_id, model_version, n_steps, "
        "crps, pinball, coverage, crps_last_value, skill_vs_last_value, scored_at) "
        f"SELECT {_ID}, s.at, w.id, 'harmony-flow-3', :horizon, 0.08, CAST(:scores AS jsonb), "
        f"CAST(:scores AS jsonb), 0.1, 0.2, {_DONE} {_STEPS}"
    ),
    "decisions": (
        "INSERT INTO decisions (id, origin_at, workload_id, forecast_id, policy_version, "
        "decided_at, valid_until, current_replicas, raw_replicas, desired_replicas, direction, "
        "reason, binding_constraint, rung, risk_target, risk_estimated, cost_delta_usd_per_h, "
        f"explanation) SELECT {_ID}, s.at, w.id, {_ID}, 'harmony-1', {_DONE}, {_DONE} + "
        f"make_interval(secs => 3 * :step_s), {_COUNT}, {_COUNT}, {_COUNT} + (s.k % 9 = 0)::int, "
        "CASE WHEN s.k % 9 = 0 THEN 'up' ELSE 'hold' END, 'scale_up_risk', 'risk', 'model', 0.01, "
        f"0.004, 2.5, CAST(:explanation AS jsonb) {_STEPS}"
    ),
    "actions": (
        "INSERT INTO actions (id, origin_at, decision_id, workload_id, attempt, from_replicas, "
        f"to_replicas, result, reason, applied_at) SELECT {_ID}, s.at, {_ID}, w.id, 1, {_COUNT}, "
        f"{_COUNT}, 'applied', 'scale_up_risk', {_DONE} {_STEPS}"
    ),
    "outcomes": (
        "INSERT INTO outcomes (workload_id, step_at, decision_id, demand, ready_mean, "
        "needed_replicas, violation_ratio, shortage, gpu_hours, cost_usd, computed_at) "
        f"SELECT w.id, s.at, {_ID}, 7200, {_COUNT}, {_COUNT}, (s.k % 97 = 0)::int, 0, 0.5, 1.25, "
        f"{_DONE} {_STEPS}"
    ),
    "replica_states": (
        "INSERT INTO replica_states (workload_id, observed_at, spec_replicas, ready_replicas, "
        "starting_replicas, pending_replicas, start_ages_s, schedulable_gpus) "
        f"SELECT w.id, {_DONE}, {_COUNT}, {_COUNT}, 0, 0, '{{}}', 12 {_STEPS}"
    ),
}


def count_workloads(engine: Engine) -> int:
    """Workloads that are there already."""
    with engine.connect() as connection:
        return int(connection.execute(text("SELECT count(*) FROM workloads")).scalar_one())


def store_history(engine: Engine, history: StoredHistory, tell: Callable[[str], None]) -> None:
    """Write the fleet, without the events of its decisions and actions: they are not measured."""
    _fill_workloads(engine, history)
    step = timedelta(seconds=history.step_s)
    first_at = history.end_at - history.n_steps * step
    for age in reversed(range(math.ceil(history.n_days))):
        last = history.end_at - timedelta(days=age) - step
        first = max(first_at, last - timedelta(days=1) + step)
        for table in _TABLES:
            if age >= history.kept.get(table, history.n_days):
                continue
            tell(f"{age} of {history.n_days:g} days to go: {table}")
            _fill_day(engine, table, history, first, last)
    tell("vacuum, statistics, checkpoint")  # as a server that wrote this over a week has done
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM (ANALYZE)"))
        connection.execute(text("CHECKPOINT"))


def _fill_workloads(engine: Engine, history: StoredHistory) -> None:
    spec = WorkloadSpec(
        target="Deployment/service",
        mode="Auto",
        gpu_type="H100",
        gpus_per_replica=2,
        min_replicas=2,
        max_replicas=24,
        demand=DEMAND,
        indicators=history.indicators,
        capacity=CapacitySpec(per_replica=900.0),
        sla=SlaSpec(epsilon=0.01),
        labels={"team": "chat"},
    )
    statement = text(
        "INSERT INTO workloads (namespace, name, shard, step_s, spec, created_at, updated_at) "
        "SELECT 'team-' || (i % 20), 'service-' || i, (i - 1) / :shard_size, :step_s, "
        ":spec || jsonb_build_object('target', 'Deployment/service-' || i), :at, :at "
        "FROM generate_series(1, :n) AS g(i)"
    ).bindparams(bindparam("spec", type_=JSONB))
    starts = text(
        "INSERT INTO pod_starts (pod_uid, workload_id, gpu_type, requested_at, ready_at, "
        "observed_at) SELECT w.id || '-' || i, w.id, 'H100', :at - make_interval(hours => i), "
        ":at - make_interval(hours => i) + interval '80 seconds', :at "
        "FROM workloads w CROSS JOIN generate_series(1, 100) AS g(i)"
    )
    values = {"n": history.n_workloads, "step_s": history.step_s, "at": history.end_at}
    values["shard_size"] = history.shard_size
    with engine.begin() as connection:
        connection.execute(statement, values | {"spec": spec.model_dump(mode="json")})
        connection.execute(starts, {"at": history.end_at})


def _fill_day(
    engine: Engine, table: str, history: StoredHistory, first_at: datetime, last_at: datetime
) -> None:
    values = {
        "n_workloads": history.n_workloads,
        "step_s": history.step_s,
        "first_at": first_at,
        "last_at": last_at,
        "horizon": HORIZON,
        "names": [indicator.name for indicator in history.indicators],
        "levels": list(LEVELS),
        "quantiles": [[900.0 * (4 + q + h) for h in range(HORIZON)] for q in range(len(LEVELS))],
        "scores": json.dumps({str(level): 0.5 for level in LEVELS}),
        "explanation": json.dumps(explanation()),
        "seen": bytes([SEEN] * len(history.indicators)),
    }
    statement = text(_TABLES[table])
    names = set(statement.compile().params)
    with engine.begin() as connection:
        if table in ("decisions", "actions"):
            connection.execute(text("SET LOCAL session_replication_role = replica"))
        step = timedelta(seconds=history.step_s)
        ensure_partitions(connection, table, first_at, last_at + step)
        connection.execute(statement, {k: v for k, v in values.items() if k in names})


def explanation() -> dict[str, Any]:
    """As wide as a stored one."""
    guards = (
        "stale_input", "paused", "one_way", "schedule", "bounds", "consolidation", "schedulable",
        "rate_limit", "tolerance", "stabilisation", "fleet",
    )  # fmt: skip
    return {
        "workload": "team-1/service-1",
        "summary": "team-1/service-1: 8 -> 9 (scale_up_risk), +2.50 USD/h",
        "guard_trace": [{"guard": g, "before": 9, "after": 9, "detail": ""} for g in guards],
        "risk": {"target": 0.01, "level": 0.0118, "before": 0.083, "after": 0.0042},
        "plan": [9] * HORIZON,
        "quantiles": {"p10": 6800.0, "p50": 7200.0, "p90": 7900.0, "p99": 8300.0},
        "counterfactuals": {"epsilon_0.001": 11, "epsilon_0.01": 9, "median_forecast": 8},
        "fleet": {"cap": None, "shadow_price_usd_per_gpu_hour": 0.0},
        "sha256": "0" * 64,
    }
