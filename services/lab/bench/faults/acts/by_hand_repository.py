"""SQL of somebody who changes rows by hand, and of a clean-up that has something to drop."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, text

from services.kernel.db.partitions import ensure_partitions, list_partitions
from services.kernel.db.schema import PARTITIONED

FORGOTTEN = {
    "cursors": "DELETE FROM ingest_cursors",
    "turns": "DELETE FROM shard_turns",
    "states": "DELETE FROM replica_states",
    "steps": "DELETE FROM indicator_steps",
    "changes": "DELETE FROM indicator_changes",
}
"""Rows that can be made again, by what people may call them."""
_LOCK_TIMEOUT = text("SET LOCAL lock_timeout = '3s'")
_OLD = timedelta(days=400)
"""Longer ago than anything is kept."""
_N_OLD = 3


def forget(connection: Connection, what: str) -> int:
    """Delete all rows of one of `FORGOTTEN`; returns how many there were.

    Raises:
        DBAPIError: Others hold them.
    """
    connection.execute(_LOCK_TIMEOUT)
    return connection.execute(text(FORGOTTEN[what])).rowcount


def spoil_spec(connection: Connection, namespace: str, name: str) -> bool:
    """Store no spec in the place of a workload's; false: there is no such workload."""
    connection.execute(_LOCK_TIMEOUT)
    statement = text(
        "UPDATE workloads SET spec = 'null', spec_version = spec_version + 1 "
        "WHERE namespace = :namespace AND name = :name"
    )
    return connection.execute(statement, {"namespace": namespace, "name": name}).rowcount == 1


def is_spec_there(connection: Connection, namespace: str, name: str) -> bool:
    """Check whether a workload has a spec."""
    statement = text(
        "SELECT jsonb_typeof(spec) = 'object' FROM workloads "
        "WHERE namespace = :namespace AND name = :name"
    )
    found = connection.execute(statement, {"namespace": namespace, "name": name})
    return bool(found.scalar_one())


def plant_old_partitions(engine: Engine, now: datetime) -> int:
    """Make partitions that are past their time in every table; returns how many are there.

    Raises:
        DBAPIError: A table is busy.
    """
    first = now - _OLD
    for table, width in PARTITIONED.items():
        with engine.begin() as connection:
            connection.execute(_LOCK_TIMEOUT)
            last = first + timedelta(days=width.days * _N_OLD)
            ensure_partitions(connection, table, first, last)
    return count_old_partitions(engine, now)


def count_old_partitions(engine: Engine, now: datetime) -> int:
    """Partitions that are past their time."""
    before = f"{now - _OLD / 2:%Y%m%d}"
    with engine.connect() as connection:
        names = [name for table in PARTITIONED for name in list_partitions(connection, table)]
    return sum(name.rsplit("_p", 1)[1] < before for name in names)
