"""SQL of backtests on what the platform has measured."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, RowMapping, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, TEXT


def load_workloads(connection: Connection, keys: Sequence[str]) -> list[RowMapping]:
    """Workloads by `namespace/name`, active or not."""
    statement = text(
        "SELECT id, namespace, name, step_s, spec FROM workloads "
        "WHERE namespace || '/' || name = ANY(:keys) ORDER BY namespace, name"
    ).bindparams(bindparam("keys", type_=ARRAY(TEXT)))
    return list(connection.execute(statement, {"keys": list(keys)}).mappings())


def load_cluster(connection: Connection, operation_id: int) -> str:
    """Name of the cluster that an operation was asked for in."""
    statement = text(
        "SELECT c.name FROM operations o JOIN clusters c ON c.id = o.cluster_id WHERE o.id = :id"
    )
    return str(connection.execute(statement, {"id": operation_id}).scalar_one())


def load_demand(
    connection: Connection, workload_id: int, indicator: str, from_at: datetime, to_at: datetime
) -> list[RowMapping]:
    """Observed demand with `from_at <= step_at <= to_at`, oldest first."""
    statement = text(
        "SELECT step_at, value FROM indicators WHERE workload_id = :workload_id "
        "AND indicator = :indicator AND is_observed AND step_at BETWEEN :from_at AND :to_at "
        "ORDER BY step_at"
    )
    values = {
        "workload_id": workload_id,
        "indicator": indicator,
        "from_at": from_at,
        "to_at": to_at,
    }
    return list(connection.execute(statement, values).mappings())
