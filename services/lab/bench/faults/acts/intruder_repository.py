"""SQL of somebody who uses the same Postgres and does not know what he does."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psycopg
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

_NAME = "bench-intruder"
_SLOT = "bench_intruder"
_LOCKS = {
    "table": "LOCK TABLE forecasts IN ACCESS EXCLUSIVE MODE",
    "rows": "SELECT id FROM workloads ORDER BY id FOR UPDATE",
}
_LOCK_ATTEMPTS = 20
_PARTITIONS = text(
    "SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i "
    "JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = to_regclass(:parent) "
    "ORDER BY c.relname DESC LIMIT 1"
)


@dataclass(frozen=True, slots=True)
class TakenPartition:
    """A partition that was taken from its table.

    Attributes:
        bounds: What it holds, as Postgres writes it.
    """

    table: str
    name: str
    bounds: str


def connect(engine: Engine) -> psycopg.Connection:
    """A session of its own.

    Raises:
        psycopg.OperationalError: There is no room for one more.
    """
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(url, connect_timeout=3, application_name=_NAME)


def take_lock(connection: Connection, what: str) -> None:
    """Take a lock of `what` in the transaction that begins here: `table`, `partition`, `rows`.

    Raises:
        DBAPIError: Others hold it.
    """
    connection.execute(text("SET LOCAL lock_timeout = '2s'"))
    if what == "partition":
        name = newest_partition(connection, "observations").name
        connection.execute(text(f"LOCK TABLE {name} IN SHARE ROW EXCLUSIVE MODE"))
    else:
        connection.execute(text(_LOCKS[what]))


def count_waiting(connection: Connection) -> int:
    """Sessions that wait for a lock which this one holds."""
    connection.execute(text("SELECT pg_stat_clear_snapshot()"))  # it is kept for the transaction
    statement = (
        "SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))"
    )
    return int(connection.execute(text(statement)).scalar_one())


def set_setting(engine: Engine, name: str, value: str | None) -> None:
    """Give a setting to all sessions that begin from now on; None takes it back."""
    change = f"RESET {name}" if value is None else f"SET {name} = '{value}'"
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET default_transaction_read_only = off"))
        connection.execute(text(f"ALTER SYSTEM {change}"))
        connection.execute(text("SELECT pg_reload_conf()"))


def keep_log(engine: Engine) -> None:
    """Let Postgres keep all of its log of changes, as for a copy that never comes.

    Raises:
        DBAPIError: It cannot.
    """
    with engine.begin() as connection:
        made = "SELECT pg_create_physical_replication_slot(:name, true) WHERE NOT EXISTS ("
        made += "SELECT FROM pg_replication_slots WHERE slot_name = :name)"
        connection.execute(text(made), {"name": _SLOT})


def keep_log_no_more(engine: Engine) -> None:
    """Let Postgres forget what nobody will ask for.

    Raises:
        DBAPIError: It cannot.
    """
    gone = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
    with engine.begin() as connection:
        connection.execute(text(gone + "WHERE slot_name = :name"), {"name": _SLOT})


def use_log(engine: Engine) -> None:
    """Write a little, and let Postgres begin a new segment of its log of changes.

    Raises:
        DBAPIError: It cannot.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(
            text("SELECT pg_logical_emit_message(false, 'bench', repeat('x', 8192))")
        )
        connection.execute(text("SELECT pg_switch_wal()"))


def end_sessions(engine: Engine) -> int:
    """End all sessions of clients but this one; returns how many there were."""
    statement = text(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() "
        "AND application_name <> :name"
    )
    with engine.connect() as connection:
        return int(connection.execute(statement, {"name": _NAME}).scalar_one())


def newest_partition(connection: Connection, table: str) -> TakenPartition:
    """The newest partition of a table."""
    row = connection.execute(_PARTITIONS, {"parent": table}).one()
    return TakenPartition(table, str(row[0]), str(row[1]))


def detach_newest(engine: Engine, table: str) -> TakenPartition:
    """Take the newest partition from its table; it keeps its rows and its name.

    Raises:
        DBAPIError: It is busy all the time.
    """
    with engine.connect() as connection:
        found = newest_partition(connection, table)
    _locked(engine, f"ALTER TABLE {table} DETACH PARTITION {found.name}")
    return found


def attach(engine: Engine, taken: TakenPartition) -> None:
    """Bring a partition back.

    Raises:
        DBAPIError: Its table is busy all the time.
    """
    _locked(engine, f"ALTER TABLE {taken.table} ATTACH PARTITION {taken.name} {taken.bounds}")


def _locked(engine: Engine, statement: str) -> None:
    """Run a statement that needs a lock of a busy table, again where it does not get it."""
    for attempt in range(_LOCK_ATTEMPTS):
        try:
            with engine.begin() as connection:
                connection.execute(text("SET LOCAL lock_timeout = '1s'"))
                connection.execute(text(statement))
                return
        except DBAPIError:
            if attempt == _LOCK_ATTEMPTS - 1:
                raise
            time.sleep(0.2)
