"""SQL of workloads that are made over REST."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from services.admin.registration.schemas import ReplicasReport
from services.kernel.db.clusters import NEXT_SHARD
from services.kernel.db.partitions import ensure_partitions

_ROW = "id, namespace, name, managed_by, is_active, step_s, spec, spec_version"


def load_managed(
    connection: Connection, namespace: str, name: str, *, is_locked: bool = False
) -> RowMapping | None:
    """A workload's spec and who sets it; locked against other writers of it when asked."""
    statement = f"SELECT {_ROW} FROM workloads WHERE namespace = :namespace AND name = :name"  # noqa: S608
    if is_locked:
        statement += " FOR UPDATE"
    values = {"namespace": namespace, "name": name}
    return connection.execute(text(statement), values).mappings().first()


def count_active(connection: Connection, namespace: str) -> int:
    """Active workloads of a namespace that were made over REST; none is added meanwhile."""
    connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 7016))"), {"name": namespace}
    )
    statement = text(
        "SELECT count(*) FROM workloads "
        "WHERE namespace = :namespace AND managed_by = 'api' AND is_active"
    )
    return int(connection.execute(statement, {"namespace": namespace}).scalar_one())


def insert_workload(
    connection: Connection, values: Mapping[str, Any], shard_size: int
) -> RowMapping | None:
    """Store a workload and return it; None: there is one of this name.

    Args:
        connection: An open transaction.
        values: namespace, name, step_s, spec, now.
        shard_size: Workloads per shard; the shard follows from the id and never changes.
    """
    statement = text(
        "INSERT INTO workloads (id, namespace, name, shard, step_s, spec, managed_by, created_at, "  # noqa: S608
        f"updated_at, cluster_id) SELECT id, :namespace, :name, {NEXT_SHARD}, :step_s, :spec, "
        "'api', :now, :now, current_cluster() "
        "FROM (SELECT nextval('workloads_id_seq')::int AS id) n "
        f"ON CONFLICT DO NOTHING RETURNING {_ROW}"
    ).bindparams(bindparam("spec", type_=JSONB))
    found = connection.execute(statement, {**values, "shard_size": shard_size})
    return found.mappings().first()


def replace_spec(
    connection: Connection, workload_id: int, spec: Mapping[str, Any], step_s: int, now: datetime
) -> RowMapping:
    """Store another spec and return the workload; it is active, and set over REST, from now on."""
    statement = text(
        "UPDATE workloads SET spec = :spec, spec_version = spec_version + 1, is_active = true, "  # noqa: S608
        "managed_by = 'api', object_spec = NULL, object_uid = NULL, step_s = :step_s, "
        f"updated_at = :now WHERE id = :id RETURNING {_ROW}"
    ).bindparams(bindparam("spec", type_=JSONB))
    values = {"id": workload_id, "spec": spec, "step_s": step_s, "now": now}
    return connection.execute(statement, values).mappings().one()


def insert_replicas(
    connection: Connection, workload_id: int, at: datetime, report: ReplicasReport
) -> RowMapping:
    """Store a report of replicas, and say what is stored: one of the same time stays."""
    # the operator, which writes here else, may have nothing to look after
    ensure_partitions(connection, "replica_states", at, at)
    statement = text(
        "INSERT INTO replica_states (workload_id, observed_at, spec_replicas, ready_replicas, "
        "starting_replicas, pending_replicas, start_ages_s) VALUES (:workload_id, :at, :replicas, "
        ":ready, :starting, 0, :ages) ON CONFLICT (workload_id, observed_at) DO NOTHING"
    )
    ages = report.starting_ages_s
    values = {"replicas": report.replicas, "ready": report.ready, "starting": len(ages)}
    key = {"workload_id": workload_id, "at": at}
    connection.execute(statement, {**key, "ages": ages, **values})
    stored = text(
        "SELECT observed_at, spec_replicas AS replicas, ready_replicas AS ready, "
        "start_ages_s AS starting_ages_s FROM replica_states "
        "WHERE workload_id = :workload_id AND observed_at = :at"
    )
    return connection.execute(stored, key).mappings().one()


def set_inactive(connection: Connection, workload_id: int, now: datetime) -> None:
    """Nothing more is forecast or decided for it; its history stays."""
    statement = text(
        "UPDATE workloads SET is_active = false, spec_version = spec_version + 1, "
        "updated_at = :now WHERE id = :id"
    )
    connection.execute(statement, {"id": workload_id, "now": now})
