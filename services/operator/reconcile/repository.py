"""All SQL of the operator: registration, snapshots, decisions, actions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql import bindparam

from services.kernel.db import schema
from services.kernel.db.clusters import NEXT_SHARD
from services.kernel.db.session import CopyTarget, copy_rows, next_ids

DECISIONS_CHANNEL = "harmony_decisions"
TICK_CHANNEL = "harmony_tick"
_STATE_COLUMNS = (
    "workload_id", "observed_at", "spec_replicas", "ready_replicas", "starting_replicas",
    "pending_replicas", "start_ages_s", "schedulable_gpus", "variants", "new_node_gpus",
    "warm_gpus", "spot_replicas", "spot_nodes", "leaving_replicas",
)  # fmt: skip
_ACTION_COLUMNS = (
    "id", "origin_at", "decision_id", "workload_id", "attempt", "from_replicas", "to_replicas",
    "result", "reason", "applied_at", "parts",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Registration:
    """A `workloads` row as it stands.

    Attributes:
        spec_version: Raised at each change of the spec.
        step_s: Length of its steps.
        is_ours: It follows a GPUAutoscaler, and was not made over REST.
        object_uid: Uid of that GPUAutoscaler; None: not stored yet, or there is none.
        has_object_spec: What that says by itself is stored beside what holds.
    """

    id: int
    namespace: str
    name: str
    spec_version: int
    step_s: int
    is_active: bool
    is_ours: bool
    object_uid: str | None
    has_object_spec: bool

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.namespace, self.name


def load_registrations(connection: Connection) -> list[Registration]:
    """Every workload ever registered, without its spec."""
    statement = text(
        "SELECT id, namespace, name, spec_version, step_s, is_active, "
        "managed_by = 'kubernetes', object_uid, object_spec IS NOT NULL FROM workloads"
    )
    return [Registration(*row) for row in connection.execute(statement)]


def load_specs(connection: Connection, ids: Sequence[int]) -> dict[int, Mapping[str, Any]]:
    """Stored specs by workload id."""
    statement = text("SELECT id, spec FROM workloads WHERE id = ANY(:ids)")
    return {int(row[0]): row[1] for row in connection.execute(statement, {"ids": list(ids)})}


def register(
    connection: Connection, rows: Sequence[Mapping[str, Any]], shard_size: int, now: datetime
) -> None:
    """Write new workloads; the shard follows from the id and never changes.

    Args:
        connection: An open transaction.
        rows: namespace, name, step_s and spec of each; object_uid where there is an object.
        shard_size: Workloads per shard.
        now: Aware.
    """
    if not rows:
        return
    statement = text(
        "INSERT INTO workloads (id, namespace, name, shard, step_s, spec, created_at, updated_at, "  # noqa: S608
        "cluster_id, object_uid) "
        f"SELECT id, :namespace, :name, {NEXT_SHARD}, :step_s, :spec, :now, :now, "
        "current_cluster(), :object_uid FROM (SELECT nextval('workloads_id_seq')::int AS id) fresh "
        "ON CONFLICT DO NOTHING"
    ).bindparams(bindparam("spec", type_=JSONB))
    given = {"object_uid": None, "shard_size": shard_size, "now": now}
    connection.execute(statement, [given | dict(row) for row in rows])


def change_specs(
    connection: Connection, specs: Mapping[int, Mapping[str, Any]], step_s: int, now: datetime
) -> None:
    """Store changed specs and the length of steps; the workloads become active."""
    if not specs:
        return
    statement = text(
        "UPDATE workloads SET spec = :spec, spec_version = spec_version + 1, is_active = true, "
        "step_s = :step_s, updated_at = :now WHERE id = :id"
    ).bindparams(bindparam("spec", type_=JSONB))
    connection.execute(
        statement,
        [{"id": id_, "spec": s, "step_s": step_s, "now": now} for id_, s in specs.items()],
    )


def set_active(connection: Connection, ids: Sequence[int], is_active: bool, now: datetime) -> None:
    """Make workloads active or not; their history stays."""
    sql = "UPDATE workloads SET is_active = :is_active, updated_at = :now WHERE id = ANY(:ids)"
    if ids:
        connection.execute(text(sql), {"ids": list(ids), "is_active": is_active, "now": now})


def load_left_behind(connection: Connection, since: datetime) -> Sequence[RowMapping]:
    """Workloads whose GPUAutoscaler is gone since `since` or later: id, namespace, name, spec."""
    statement = text(
        "SELECT id, namespace, name, spec FROM workloads WHERE NOT is_active "
        "AND managed_by = 'kubernetes' AND updated_at >= :since ORDER BY id"
    )
    return connection.execute(statement, {"since": since}).mappings().all()


def store_states(connection: Connection, rows: Iterable[Sequence[Any]]) -> int:
    """Store snapshots; the first one of a time stays."""
    target = CopyTarget(
        schema.replica_states, _STATE_COLUMNS, "nothing", ("workload_id", "observed_at")
    )
    return copy_rows(connection, target, rows)


_LAST_SEEN = """
SELECT t.workload_id, t.part, GREATEST(max(made.replicas), max(CASE WHEN t.part = ''
  THEN GREATEST(spec_replicas, ready_replicas + starting_replicas + pending_replicas)
  ELSE GREATEST((own ->> 'spec')::int, (own ->> 'ready')::int + (own ->> 'starting')::int
       + (own ->> 'pending')::int) END)) AS replicas
FROM unnest(CAST(:ids AS int[]), CAST(:parts AS text[])) AS t(workload_id, part)
CROSS JOIN LATERAL (
  SELECT s.observed_at FROM replica_states s WHERE s.workload_id = t.workload_id
  AND CASE WHEN t.part = '' THEN s.variants IS NULL ELSE s.variants ? t.part END
  ORDER BY s.observed_at DESC LIMIT 1
) newest
CROSS JOIN LATERAL (
  SELECT *, variants -> t.part AS own FROM replica_states s WHERE s.workload_id = t.workload_id
  AND CASE WHEN t.part = '' THEN s.variants IS NULL ELSE s.variants ? t.part END
  AND s.observed_at BETWEEN newest.observed_at - interval '2 minutes' AND newest.observed_at
) s
CROSS JOIN LATERAL (
  SELECT max(CASE WHEN t.part = '' THEN a.to_replicas ELSE (
    SELECT max((p ->> 'to')::int) FROM jsonb_array_elements(
      CASE jsonb_typeof(a.parts) WHEN 'array' THEN a.parts ELSE '[]' END) p
    WHERE p ->> 'name' = t.part) END) AS replicas
  FROM actions a WHERE a.workload_id = t.workload_id AND a.result IN ('applied', 'unknown')
  AND a.applied_at >= newest.observed_at - interval '2 minutes'
  AND a.origin_at >= newest.observed_at - interval '1 day'
) made GROUP BY t.workload_id, t.part
"""


def load_last_seen(
    connection: Connection, ids: Sequence[int], parts: Sequence[str]
) -> dict[tuple[int, str], int]:
    """Replicas that targets asked for or had when they were last seen, the larger of both.

    The most of the two minutes until then: pods that were leaving are not in a snapshot. What was
    patched since is in none either, where the operator that did it has not seen it again.

    Args:
        connection: An open transaction.
        ids: The workload of each target.
        parts: Its part's name; empty: the workload has one target. As many as ids.
    """
    if not ids:
        return {}
    rows = connection.execute(text(_LAST_SEEN), {"ids": list(ids), "parts": list(parts)})
    return {(row[0], row[1]): row[2] for row in rows}


def load_open_starts(connection: Connection) -> Sequence[RowMapping]:
    """Pods that were seen and are not known to be gone."""
    statement = text(
        "SELECT pod_uid, workload_id, gpu_type, requested_at, ready_at, bound_at, is_new_node, "
        "cause, refused_at FROM pod_starts "
        "WHERE gone_at IS NULL AND workload_id IN (SELECT id FROM workloads)"
    )
    return connection.execute(statement).mappings().all()


def store_starts(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert or complete pod starts; a time once written is never changed.

    Args:
        connection: An open transaction.
        rows: pod_uid, workload_id, gpu_type, requested_at, ready_at, gone_at, observed_at,
            bound_at, is_new_node, cause, refused_at; this one is as it is given last.
    """
    if not rows:
        return
    statement = text(
        "INSERT INTO pod_starts (pod_uid, workload_id, gpu_type, requested_at, ready_at, gone_at, "
        "observed_at, bound_at, is_new_node, cause, refused_at) "
        "SELECT * FROM unnest(CAST(:pod_uid AS text[]), "
        "CAST(:workload_id AS int[]), CAST(:gpu_type AS text[]), "
        "CAST(:requested_at AS timestamptz[]), CAST(:ready_at AS timestamptz[]), "
        "CAST(:gone_at AS timestamptz[]), "
        "CAST(:observed_at AS timestamptz[]), CAST(:bound_at AS timestamptz[]), "
        "CAST(:is_new_node AS boolean[]), CAST(:cause AS text[]), "
        "CAST(:refused_at AS timestamptz[])) "
        "ON CONFLICT (pod_uid) DO UPDATE SET "
        "ready_at = COALESCE(pod_starts.ready_at, EXCLUDED.ready_at), "
        "gone_at = COALESCE(pod_starts.gone_at, EXCLUDED.gone_at), "
        "bound_at = COALESCE(pod_starts.bound_at, EXCLUDED.bound_at), "
        "is_new_node = COALESCE(pod_starts.is_new_node, EXCLUDED.is_new_node), "
        "cause = COALESCE(pod_starts.cause, EXCLUDED.cause), "
        "refused_at = EXCLUDED.refused_at, observed_at = EXCLUDED.observed_at"
    )
    names = (
        "pod_uid", "workload_id", "gpu_type", "requested_at", "ready_at", "gone_at", "observed_at",
        "bound_at", "is_new_node", "cause", "refused_at",
    )  # fmt: skip
    connection.execute(statement, {name: [row[name] for row in rows] for name in names})


_DECISION_FIELDS = (
    "d.id, d.workload_id, d.origin_at, d.decided_at, d.valid_until, d.current_replicas, "
    "d.raw_replicas, d.desired_replicas, d.direction, d.reason, d.rung, d.risk_target, "
    "d.risk_estimated, d.cost_delta_usd_per_h, d.binding_constraint, d.variants, "
    "d.explanation -> 'guard_trace' AS guard_trace, d.explanation ->> 'trace' AS trace, "
    "d.explanation #> '{risk,is_budget_exhausted}' AS is_budget_exhausted, d.forecast_id, "
    "CASE WHEN d.current_replicas = 0 THEN (SELECT n.result = 'applied' AND n.to_replicas = 0 "
    "FROM actions n WHERE n.workload_id = d.workload_id AND n.result IN ('applied', 'unknown') "
    "ORDER BY n.applied_at DESC LIMIT 1) END AS is_put_to_zero, "
    "ARRAY(SELECT v ->> 'name' FROM jsonb_path_query(d.variants, '$[*] ? "
    '(@.current == 0 && @.desired > 0)\') v WHERE (SELECT p @> \'{"is_sure": true, "to": 0}\' '
    "FROM actions n CROSS JOIN jsonb_path_query(n.parts, '$[*]') p WHERE n.workload_id = "
    "d.workload_id AND n.result IN ('applied', 'unknown') AND p -> 'name' = v -> 'name' "
    "ORDER BY n.applied_at DESC LIMIT 1)) AS parts_put_to_zero"
)
_LAST_ACTION = (
    "LEFT JOIN LATERAL (SELECT count(*) OVER () AS n_attempts, a.result AS last_result "
    "FROM actions a WHERE a.decision_id = d.id AND a.origin_at = d.origin_at "
    "ORDER BY a.attempt DESC LIMIT 1) a ON true "
)


@dataclass(frozen=True, slots=True)
class DecisionQuery:
    """Selection of the decisions to load.

    Attributes:
        after_id: Decisions up to this id have been dealt with.
        judged_ids: Decisions that a human approved or rejected, however old.
        now: Aware.
    """

    policy_version: str
    after_id: int
    judged_ids: Sequence[int]
    now: datetime


_SINCE_LAST_ACTION = (
    "ARRAY(SELECT n.id FROM workloads w LEFT JOIN LATERAL (SELECT origin_at FROM actions "
    "WHERE workload_id = w.id AND origin_at <= :now ORDER BY origin_at DESC LIMIT 1) a ON true "
    "CROSS JOIN LATERAL (SELECT id FROM decisions WHERE workload_id = w.id AND origin_at >= "
    # OFFSET 0: by the key of each workload, not through all decisions
    "COALESCE(a.origin_at - make_interval(secs => 4 * w.step_s), '-infinity') OFFSET 0) n)"
)
"""Decisions of about when their workload's last action was, and since: of older ones each has one.

An operator that has just begun knows no id up to which all were dealt with.
"""


def load_open_decisions(connection: Connection, query: DecisionQuery) -> Sequence[RowMapping]:
    """Decisions that have no action yet, or one after which they may be tried again."""
    judged = "CAST(:judged_ids AS bigint[])"
    chosen = (
        f"(d.id > :after_id OR d.id = ANY({judged}))"
        if query.after_id
        else f"d.id = ANY({_SINCE_LAST_ACTION} || {judged})"
    )
    statement = text(
        f"SELECT {_DECISION_FIELDS}, COALESCE(a.n_attempts, 0) AS n_attempts, "  # noqa: S608
        "COALESCE(a.last_result, '') AS last_result, (SELECT w.managed_by = 'api' FROM workloads w "
        f"WHERE w.id = d.workload_id) AS is_external FROM decisions d {_LAST_ACTION}"
        "WHERE d.policy_version = :policy_version "
        f"AND {chosen} "
        "AND (a.last_result IS NULL "
        "  OR (a.last_result IN ('failed', 'waiting') AND d.valid_until > :now) "
        "  OR (a.last_result IN ('awaiting_approval', 'rejected', 'failed', 'waiting') "
        f"      AND d.id = ANY({judged}))) "
        "AND NOT EXISTS (SELECT FROM intents i WHERE i.decision_id = d.id) "
        "AND EXISTS (SELECT FROM workloads w WHERE w.id = d.workload_id) "
        "ORDER BY d.workload_id, d.origin_at, d.id"
    )
    given = asdict(query)
    names = statement.compile().params
    rows = connection.execute(statement, {k: v for k, v in given.items() if k in names})
    return rows.mappings().all()


def load_newest_decisions(
    connection: Connection, ids: Sequence[int], policy_version: str, until: datetime
) -> Sequence[RowMapping]:
    """The newest decision of each workload at an origin up to `until`, with its newest action."""
    statement = text(
        f"SELECT {_DECISION_FIELDS}, COALESCE(a.n_attempts, 0) AS n_attempts, "  # noqa: S608
        "COALESCE(a.last_result, '') AS last_result "
        "FROM unnest(CAST(:ids AS int[])) AS w(id) CROSS JOIN LATERAL ("
        "  SELECT * FROM decisions d WHERE d.workload_id = w.id "
        "  AND d.policy_version = :policy_version AND d.origin_at <= :until "
        "  ORDER BY d.origin_at DESC, d.id DESC LIMIT 1"
        f") d {_LAST_ACTION}"
    )
    parameters = {"ids": list(ids), "policy_version": policy_version, "until": until}
    return connection.execute(statement, parameters).mappings().all()


def store_actions(connection: Connection, rows: Sequence[Sequence[Any]]) -> int:
    """Store actions; an attempt that is there already stays.

    Args:
        connection: An open transaction.
        rows: Values in the order of the columns, without the id.
    """
    ids = next_ids(connection, "actions_id_seq", len(rows))
    key = ("decision_id", "attempt", "origin_at")
    target = CopyTarget(schema.actions, _ACTION_COLUMNS, "nothing", key)
    return copy_rows(connection, target, [(id_, *row) for id_, row in zip(ids, rows, strict=True)])


def notify(connection: Connection, channel: str, payload: str) -> None:
    """Notify the listeners of `channel` when the transaction commits."""
    connection.execute(
        text("SELECT pg_notify(:channel, :payload)"), {"channel": channel, "payload": payload}
    )


def load_details(connection: Connection, ids: Sequence[int]) -> Sequence[RowMapping]:
    """Details of the statuses that are new in each step: forecast, freshness, measured risk.

    Args:
        connection: An open transaction.
        ids: Workloads.
    """
    statement = text(
        "SELECT w.id AS workload_id, c.last_sample_at, f.model_version, f.rung, f.origin_at, "
        "f.step_s * f.n_horizon AS horizon_s, f.quantile_levels, f.next_step, "
        "f.step_s * d.steps AS reach_s, f.step_s * d.wanted_steps AS wanted_s, "
        "r.state AS risk_state, ARRAY(SELECT stage || ': ' || message FROM workload_errors "
        "  WHERE workload_id = w.id ORDER BY since, stage) AS errors "
        "FROM unnest(CAST(:ids AS int[])) AS w(id) "
        "LEFT JOIN ingest_cursors c ON c.workload_id = w.id "
        "LEFT JOIN LATERAL (SELECT model_version, rung, origin_at, step_s, n_horizon, "
        "  quantile_levels, ARRAY(SELECT quantiles[q][1] FROM "
        "  generate_subscripts(quantiles, 1) AS q ORDER BY q) AS next_step "
        "  FROM forecasts WHERE workload_id = w.id ORDER BY origin_at DESC, id DESC LIMIT 1) f "
        "  ON true "
        # there where starts may take longer than the forecast reaches
        "LEFT JOIN LATERAL (SELECT (explanation #>> '{reach,steps}')::int AS steps, "
        "  (explanation #>> '{reach,wanted_steps}')::int AS wanted_steps FROM decisions "
        "  WHERE workload_id = w.id ORDER BY origin_at DESC, id DESC LIMIT 1) d ON true "
        "LEFT JOIN risk_states r ON r.workload_id = w.id"
    )
    return connection.execute(statement, {"ids": list(ids)}).mappings().all()


def load_history_figures(
    connection: Connection, ids: Sequence[int], now: datetime
) -> Sequence[RowMapping]:
    """Figures over a week of steps and many starts: coverage of the forecasts, lead times."""
    statement = text(
        "SELECT w.id AS workload_id, s.coverage, l.p50_s, l.p90_s, l.n_starts "
        "FROM unnest(CAST(:ids AS int[])) AS w(id) "
        "CROSS JOIN (SELECT CAST(:now AS timestamptz) - interval '7 days' AS week_at) g "
        # whole hours from their sums, the hour at the edge of the week from its rows
        "LEFT JOIN LATERAL (SELECT (sum(covered) / NULLIF(sum(n), 0))::float8 AS coverage FROM ("
        "  SELECT covered, n_forecasts AS n FROM coverage_hours "
        "  WHERE workload_id = w.id AND hour_at > g.week_at "
        "  UNION ALL SELECT (coverage ->> '0.9')::numeric, 1 FROM forecast_scores "
        "  WHERE workload_id = w.id AND origin_at > g.week_at AND coverage ? '0.9' "
        "  AND origin_at < date_trunc('hour', g.week_at, 'UTC') + interval '1 hour') h) s ON true "
        "LEFT JOIN LATERAL (SELECT count(*) AS n_starts, "
        "  percentile_cont(0.5) WITHIN GROUP (ORDER BY lead_s) AS p50_s, "
        "  percentile_cont(0.9) WITHIN GROUP (ORDER BY lead_s) AS p90_s FROM ("
        "  SELECT extract(epoch FROM ready_at - requested_at) AS lead_s FROM pod_starts "
        "  WHERE workload_id = w.id AND ready_at IS NOT NULL "
        "  ORDER BY requested_at DESC LIMIT 200) recent) l ON true"
    )
    return connection.execute(statement, {"ids": list(ids), "now": now}).mappings().all()
