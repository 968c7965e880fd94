"""SQL of the command line: the fleet at a glance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from services.admin.rest.times import AHEAD
from services.kernel.clock import Clock
from services.kernel.db.clusters import NEXT_SHARD, load_clusters
from services.kernel.db.session import check_reachable, make_engine
from services.kernel.domain import promise_figures
from services.kernel.domain.figures import kept
from services.kernel.errors import NotFound
from services.kernel.server_clock import shared_now
from services.kernel.settings import Settings

_STATUS = text("""
SELECT w.namespace || '/' || w.name AS workload, k.name AS cluster,
       w.spec->>'mode' AS mode,
       s.spec_replicas AS current, s.ready_replicas AS ready,
       d.desired_replicas AS desired, d.reason, d.rung,
       CASE WHEN w.spec #>> '{sla,kind}' = 'AnyInWindow' THEN d.risk_target
            WHEN jsonb_typeof(w.spec #> '{sla,epsilon}') = 'number'
            THEN (w.spec #>> '{sla,epsilon}')::float END AS promised,
       r.state AS risk_state, d.origin_at
FROM workloads w
JOIN clusters k ON k.id = w.cluster_id
LEFT JOIN LATERAL (
  SELECT * FROM replica_states r WHERE r.workload_id = w.id AND observed_at <= :until
  ORDER BY observed_at DESC LIMIT 1
) s ON true
LEFT JOIN LATERAL (
  SELECT * FROM decisions c WHERE c.workload_id = w.id AND origin_at <= :until
  ORDER BY origin_at DESC, id DESC LIMIT 1
) d ON true
LEFT JOIN risk_states r ON r.workload_id = w.id
WHERE w.is_active ORDER BY workload, cluster
""")
_HEADROOM = text("""
SELECT k.name AS cluster, h.gpu_type, h.gpus, h.free_gpus, h.chunk_gpus, h.usd_per_hour, h.risk,
       h.risk_before, h.risk_after, h.n_workloads, h.n_unknown, h.advised_at
FROM gpu_headroom h JOIN clusters k ON k.id = h.cluster_id ORDER BY k.name, h.gpu_type
""")
_RATIOS = ("risk_before", "risk_after")


def cluster_engine(settings: Settings) -> Engine:
    """The database as far as it is of `HARMONY_CLUSTER`; all of it where it holds one cluster.

    Workloads of several clusters may have one name.

    Raises:
        NotFound: It holds several, and none of that name.
        Unavailable: It cannot be reached.
    """
    engine = make_engine(settings.database_url)
    check_reachable(engine)
    with engine.connect() as connection:
        names = [each.name for each in load_clusters(connection)]
    if len(names) == 1:
        return engine
    if settings.cluster not in names:
        raise NotFound(
            f"HARMONY_CLUSTER={settings.cluster!r} is none of the clusters of this database: set "
            f"it to {' or '.join(names)}"
        )
    return make_engine(settings.database_url, cluster=settings.cluster)


def load_status(engine: Engine, clock: Clock) -> list[dict[str, Any]]:
    """One row per active workload: replicas, promise, what is measured and believed, rung, reason.

    What is of a time to come, of a clock that was ahead, counts when that time is there. Where they
    are of several clusters, `cluster` names each one's: two may have one name.

    `source` says which of the two `budget_left` is of. Where a share is measured as a range,
    `measured_low` with `budget_left_high`, and `measured_high` with `budget_left_low`, are its
    ends; an end that is the figure itself is None.
    """
    with engine.connect() as connection:
        until = {"until": shared_now(connection, clock) + AHEAD}
        rows = [_status_row(dict(row._mapping)) for row in connection.execute(_STATUS, until)]
    return _with_clusters(rows)


def _with_clusters(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, without `cluster` where all are of one."""
    if len({row["cluster"] for row in rows}) > 1:
        return rows
    return [{name: value for name, value in row.items() if name != "cluster"} for row in rows]


def load_headroom(engine: Engine) -> list[dict[str, Any]]:
    """What is advised to be held ready, one row per cluster and GPU type."""
    with engine.connect() as connection:
        found = [dict(row._mapping) for row in connection.execute(_HEADROOM)]
    return [row | {name: _rounded(row[name]) for name in _RATIOS} for row in found]


def _status_row(row: dict[str, Any]) -> dict[str, Any]:
    known, origin_at = promise_figures(row.pop("risk_state")), row.pop("origin_at")
    return {
        **row,
        "measured_low": _rounded(known.measured_low_ratio),
        "measured": _rounded(known.measured_ratio),
        "measured_high": _rounded(known.measured_high_ratio),
        "believed": _rounded(known.believed_ratio),
        "source": known.source,
        "budget_left_low": _rounded(known.left_low_ratio),
        "budget_left": _rounded(known.left_ratio),
        "budget_left_high": _rounded(known.left_high_ratio),
        "origin_at": origin_at,
    }


def _rounded(ratio: float | None) -> float | None:
    return None if ratio is None else kept(ratio)


def load_specs(connection: Connection, namespace: str, name: str) -> Sequence[RowMapping]:
    """Active workloads with their specs; of one namespace or name where these are given."""
    query = text(
        "SELECT id, namespace, name, step_s, spec FROM workloads WHERE is_active "
        "AND :namespace IN ('', namespace) AND :name IN ('', name) ORDER BY namespace, name"
    )
    return connection.execute(query, {"namespace": namespace, "name": name}).mappings().all()


def store_workloads(
    connection: Connection, rows: Sequence[Mapping[str, Any]], shard_size: int, now: datetime
) -> dict[tuple[str, str], int]:
    """Make workloads as REST does, or replace the specs of those that are there.

    One that an operator manages stays as it is, unless its GPUAutoscaler is gone.

    Args:
        connection: An open transaction.
        rows: namespace, name, step_s and spec of each.
        shard_size: Workloads per shard; the shard follows from the id and never changes.
        now: Aware.

    Returns:
        Id by namespace and name of those that were stored.
    """
    statement = text(
        "INSERT INTO workloads (id, namespace, name, shard, step_s, spec, managed_by, created_at, "  # noqa: S608
        f"updated_at, cluster_id) SELECT id, namespace, name, {NEXT_SHARD}, step_s, spec, 'api', "
        ":now, :now, current_cluster() FROM (SELECT g.*, COALESCE((SELECT w.id FROM workloads w "
        "  WHERE w.namespace = g.namespace AND w.name = g.name AND w.cluster_id = "
        "  current_cluster()), nextval('workloads_id_seq')::int) AS id FROM jsonb_to_recordset("
        "  :rows) AS g(namespace text, name text, step_s int, spec jsonb)) given "
        "ON CONFLICT (cluster_id, namespace, name) DO UPDATE SET spec = EXCLUDED.spec, "
        "step_s = EXCLUDED.step_s, managed_by = 'api', is_active = true, updated_at = :now, "
        "spec_version = workloads.spec_version + (workloads.spec <> EXCLUDED.spec)::int "
        "WHERE workloads.managed_by = 'api' OR NOT workloads.is_active "
        "RETURNING namespace, name, id"
    ).bindparams(bindparam("rows", type_=JSONB))
    given = {"rows": [dict(row) for row in rows], "shard_size": shard_size, "now": now}
    return {(row[0], row[1]): int(row[2]) for row in connection.execute(statement, given)}


def load_active_shards(engine: Engine) -> list[int]:
    """Shards that hold an active workload."""
    query = text("SELECT DISTINCT shard FROM workloads WHERE is_active ORDER BY shard")
    with engine.connect() as connection:
        return [int(row[0]) for row in connection.execute(query)]


def load_newest_steps(engine: Engine) -> dict[int, datetime | None]:
    """Start of the newest step that an active workload was measured in, by length of steps, s.

    None: no workload of that length has been measured.
    """
    query = text("""
        SELECT w.step_s, max(i.step_at) FROM workloads w LEFT JOIN LATERAL (
          SELECT step_at FROM indicator_steps s
          WHERE workload_id = w.id AND get_byte(states, array_position((SELECT names
            FROM indicator_layouts WHERE id = s.layout_id), w.spec->>'demand') - 1) > 0
          ORDER BY step_at DESC LIMIT 1) i ON true
        WHERE w.is_active GROUP BY w.step_s ORDER BY w.step_s
    """)
    with engine.connect() as connection:
        return {int(row[0]): row[1] for row in connection.execute(query)}


def _by_length(origins: Mapping[int, datetime]) -> dict[str, str]:
    return {str(step_s): origin_at.isoformat() for step_s, origin_at in origins.items()}


_ORIGINS = bindparam("origins", type_=JSONB)
_FORECASTS = text("""
SELECT f.id, w.namespace || '/' || w.name AS workload, k.name AS cluster, f.origin_at,
       f.model_version AS model, f.rung, f.reason, f.quantile_levels,
       ARRAY(SELECT unnest(f.quantiles[:][1:1])) AS next_step
FROM forecasts f JOIN workloads w ON w.id = f.workload_id JOIN clusters k ON k.id = w.cluster_id
WHERE f.origin_at = (:origins ->> w.step_s::text)::timestamptz ORDER BY workload, cluster
""").bindparams(_ORIGINS)
_SHOWN_LEVELS = (0.1, 0.5, 0.9, 0.99)


def load_forecasts_at(engine: Engine, origins: Mapping[int, datetime]) -> list[dict[str, Any]]:
    """Forecasts at one origin for each length of steps, s.

    Each has its model, rung, reason and a few quantiles of the next step. `cluster` names each
    one's where they are of several.
    """
    found = []
    with engine.connect() as connection:
        for row in connection.execute(_FORECASTS, {"origins": _by_length(origins)}):
            shown = dict(row._mapping)
            levels, values = shown.pop("quantile_levels"), shown.pop("next_step")
            for level in _SHOWN_LEVELS:
                at = [n for n, known in enumerate(levels) if abs(known - level) < 1e-6]
                has_value = bool(at) and at[0] < len(values)
                shown[f"p{level * 100:g}"] = kept(values[at[0]]) if has_value else None
            found.append(shown)
    return _with_clusters(found)


_DECISIONS = text("""
SELECT d.id, w.namespace || '/' || w.name AS workload, k.name AS cluster,
       d.current_replicas AS current,
       d.raw_replicas AS raw, d.desired_replicas AS desired, d.direction, d.reason,
       d.binding_constraint AS binding, d.rung, d.risk_target, d.risk_estimated,
       d.cost_delta_usd_per_h
FROM decisions d JOIN workloads w ON w.id = d.workload_id JOIN clusters k ON k.id = w.cluster_id
WHERE d.origin_at = (:origins ->> w.step_s::text)::timestamptz ORDER BY workload, cluster
""").bindparams(_ORIGINS)


def load_decisions_at(engine: Engine, origins: Mapping[int, datetime]) -> list[dict[str, Any]]:
    """Decisions at one origin for each length of steps, s.

    `cluster` names each one's where they are of several.
    """
    with engine.connect() as connection:
        rows = connection.execute(_DECISIONS, {"origins": _by_length(origins)})
        return _with_clusters([dict(row._mapping) for row in rows])
