"""SQL of the GPU budgets: what they are, and what workloads hold and would take of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, text

from services.kernel.db import schema
from services.kernel.db.clusters import FIRST
from services.kernel.db.parts import IS_GONE, PARTS, count_in
from services.kernel.db.session import CopyTarget, copy_rows
from services.kernel.domain import WorkloadSpec

# replicas of one that was made over REST are what a key of its namespace says: nobody measures them
_COUNTED = "w.is_active AND w.managed_by = 'kubernetes'"


def load_budgets(
    connection: Connection, gpu_types: Sequence[str], cluster_id: int = FIRST
) -> Sequence[RowMapping]:
    """Budgets of GPU types of a cluster as its operator read them.

    Of a type with a total over the cells no more than the cluster's part of it; NULL where it has
    none yet, and where it is not known whether it has a budget besides.
    """
    statement = text(
        "SELECT COALESCE(b.gpu_type, t.gpu_type) AS gpu_type, CASE WHEN t.gpu_type IS NULL "
        "OR (b.gpu_type IS NOT NULL AND b.gpus IS NULL) THEN b.gpus "
        "WHEN p.gpus IS NULL OR (b.gpu_type IS NULL AND EXISTS (SELECT FROM gpu_budgets "
        "  WHERE cluster_id = :cluster_id AND gpu_type = '*')) THEN NULL "
        "ELSE LEAST(b.gpus, p.gpus) END AS gpus, "
        "COALESCE(b.observed_at, p.exchanged_at, t.set_at) AS observed_at FROM "
        "(SELECT * FROM gpu_budgets WHERE cluster_id = :cluster_id) b "
        "FULL JOIN cell_totals t ON t.gpu_type = b.gpu_type LEFT JOIN cell_budgets p "
        "ON p.gpu_type = t.gpu_type AND p.cluster_id = :cluster_id "
        "WHERE COALESCE(b.gpu_type, t.gpu_type) = ANY(:gpu_types)"
    )
    given = {"gpu_types": list(gpu_types), "cluster_id": cluster_id}
    return connection.execute(statement, given).mappings().all()


def lock_budgets(connection: Connection, gpu_types: Sequence[str], cluster_id: int = FIRST) -> None:
    """One transaction at a time decides on a budgeted type of a cluster, until it ends.

    The locks are taken in the order of their keys, so two transactions that take all of theirs at
    once never wait for each other.
    Those of the first cluster are named as they were when there was one.
    """
    prefix = "" if cluster_id == FIRST else f"{cluster_id}/"
    statement = text(
        "SELECT pg_advisory_xact_lock(hashtext('harmony_gpu_budget'), key) FROM ("
        "  SELECT DISTINCT hashtext(name) AS key FROM unnest(CAST(:names AS text[])) AS t(name) "
        "  ORDER BY key) keys"
    )
    connection.execute(statement, {"names": [prefix + name for name in gpu_types]}).all()


def load_holdings(
    connection: Connection,
    gpu_types: Sequence[str],
    policy_version: str,
    now: datetime,
    shards: Sequence[int] | None = None,
) -> Sequence[RowMapping]:
    """Active workloads of one target, of GPU types: target, decision, claim.

    Args:
        connection: An open transaction.
        gpu_types: The types.
        policy_version: Whose decisions count.
        now: Aware.
        shards: Of these; None: of all.
    """
    if not gpu_types:
        return []
    fields = WorkloadSpec.model_fields
    statement = text(
        "SELECT w.*, GREATEST(r.spec_replicas, i.to_replicas) AS spec_replicas, "  # noqa: S608
        "d.*, c.* FROM (SELECT w.id, w.shard, w.step_s, "
        "COALESCE(w.spec ->> 'gpu_type', :gpu_type) AS gpu_type, "
        "COALESCE(w.spec ->> 'mode', :mode) AS mode, "
        f"{_count('gpus_per_replica')}, {_count('min_replicas')} "
        f"FROM workloads w WHERE {_COUNTED} {_of(shards)}AND jsonb_array_length({PARTS}) = 0 "
        # what a target had before it was deleted is nobody's
        f"AND NOT {IS_GONE}) w "
        "LEFT JOIN LATERAL (SELECT r.spec_replicas FROM replica_states r "
        "  WHERE r.workload_id = w.id ORDER BY r.observed_at DESC LIMIT 1) r ON true "
        # a scaling whose outcome is open holds what it asks for
        "LEFT JOIN (SELECT workload_id, max(to_replicas) AS to_replicas FROM intents "
        "  GROUP BY workload_id) i ON i.workload_id = w.id "
        "LEFT JOIN LATERAL (SELECT d.desired_replicas, d.valid_until FROM decisions d "
        "  WHERE d.workload_id = w.id AND d.policy_version = :policy_version "
        "  AND d.origin_at >= CAST(:now AS timestamptz) - interval '1 day' "
        "  ORDER BY d.origin_at DESC, d.id DESC LIMIT 1) d ON true "
        "LEFT JOIN gpu_claims c ON c.workload_id = w.id "
        "WHERE w.gpu_type = ANY(:gpu_types) ORDER BY w.id"
    )
    defaults = ("gpu_type", "mode", "gpus_per_replica", "min_replicas")
    given = {name: fields[name].default for name in defaults}
    given |= {"gpu_types": list(gpu_types), "policy_version": policy_version, "now": now}
    given |= {"shards": list(shards)} if shards is not None else {}
    return connection.execute(statement, given).mappings().all()


def load_gone(connection: Connection, shard: int, now: datetime) -> frozenset[int]:
    """Workloads of a shard, of one target each, whose target is not there."""
    statement = text(
        f"SELECT w.id FROM workloads w WHERE {_COUNTED} AND w.shard = :shard "  # noqa: S608 - ours
        f"AND jsonb_array_length({PARTS}) = 0 AND {IS_GONE}"
    )
    return frozenset(connection.scalars(statement, {"shard": shard, "now": now}))


def _count(field: str) -> str:
    """A count in the spec of the row `w`; one that somebody spoilt by hand counts as left out."""
    return f"COALESCE({count_in('w.spec', field)}, :{field}) AS {field}"


def _of(shards: Sequence[int] | None) -> str:
    """Condition on a workload `w`."""
    return "" if shards is None else "AND w.shard = ANY(:shards) "


def load_part_holdings(
    connection: Connection,
    gpu_types: Sequence[str],
    policy_version: str,
    now: datetime,
    shards: Sequence[int] | None = None,
) -> Sequence[RowMapping]:
    """Active workloads with a variant or pool of one of the types; arguments as `load_holdings`.

    Each with the newest replicas and the newest decision of its parts, and with its claims: a
    JSON object of `demand_gpus` and `claimed_at` by GPU type, NULL where it has none.
    """
    if not gpu_types:
        return []
    statement = text(
        "SELECT w.id, w.shard, w.step_s, w.spec, "  # noqa: S608  # fixed fragments
        "COALESCE(w.spec ->> 'mode', :mode) AS mode, r.variants AS seen, "
        "d.variants AS decided, d.valid_until, c.claims, i.targets AS intended "
        "FROM workloads w "
        "LEFT JOIN LATERAL (SELECT r.variants FROM replica_states r "
        "  WHERE r.workload_id = w.id ORDER BY r.observed_at DESC LIMIT 1) r ON true "
        # a scaling whose outcome is open holds what it asks for
        "LEFT JOIN LATERAL (SELECT jsonb_object_agg(t ->> 'name', t -> 'to' "
        "  ORDER BY (t ->> 'to')::int) AS targets FROM intents i, "
        "  jsonb_array_elements(i.targets) t WHERE i.workload_id = w.id) i ON true "
        "LEFT JOIN LATERAL (SELECT d.variants, d.valid_until FROM decisions d "
        "  WHERE d.workload_id = w.id AND d.policy_version = :policy_version "
        "  AND d.origin_at >= CAST(:now AS timestamptz) - interval '1 day' "
        "  ORDER BY d.origin_at DESC, d.id DESC LIMIT 1) d ON true "
        "LEFT JOIN LATERAL (SELECT jsonb_object_agg(c.gpu_type, jsonb_build_object("
        "  'demand_gpus', c.demand_gpus, "
        "  'claimed_s', extract(epoch FROM c.claimed_at))) AS claims "
        "  FROM variant_claims c WHERE c.workload_id = w.id) c ON true "
        f"WHERE {_COUNTED} {_of(shards)}"
        f"AND EXISTS (SELECT FROM jsonb_array_elements({PARTS}) v "
        "  WHERE v ->> 'gpu_type' = ANY(:gpu_types)) ORDER BY w.id"
    )
    given = {
        "mode": WorkloadSpec.model_fields["mode"].default,
        "gpu_types": list(gpu_types),
        "policy_version": policy_version,
        "now": now,
    }
    given |= {"shards": list(shards)} if shards is not None else {}
    return connection.execute(statement, given).mappings().all()


def _array_text(values: Iterable[int]) -> str:
    """An array of integers as COPY takes it; the driver would look at each of them twice."""
    return f"{{{','.join(map(str, values))}}}"


def store_claims(connection: Connection, rows: Iterable[Sequence[Any]]) -> int:
    """Store what workloads would take at each price, for the other shards."""
    columns = ("workload_id", "demand_replicas", "claimed_at")
    target = CopyTarget(schema.gpu_claims, columns, "update", ("workload_id",))
    return copy_rows(connection, target, [(key, _array_text(taken), at) for key, taken, at in rows])


def store_variant_claims(connection: Connection, rows: Iterable[Sequence[Any]]) -> int:
    """Store what workloads with variants or pools would take of each type at each price."""
    columns = ("workload_id", "gpu_type", "demand_gpus", "claimed_at")
    key = ("workload_id", "gpu_type")
    found = [(*of, _array_text(taken), at) for *of, taken, at in rows]
    return copy_rows(connection, CopyTarget(schema.variant_claims, columns, "update", key), found)
