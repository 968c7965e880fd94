"""Time partitions: made as rows arrive, dropped when their retention has passed."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, NullPool, create_engine, text

from services.kernel.db.schema import PARTITIONED
from services.kernel.server_limits import SESSION

_DAY_S = 86400
_known: dict[str, set[str]] = {}
_making = threading.Lock()
_apart: WeakKeyDictionary[Engine, Engine] = WeakKeyDictionary()


def partition_bounds(table: str, at: datetime) -> tuple[datetime, datetime]:
    """Start and end of the partition of `table` that holds `at`, aligned to the epoch."""
    width_s = PARTITIONED[table].days * _DAY_S
    start = int(at.timestamp()) // width_s * width_s
    return datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(start + width_s, UTC)


def partition_name(table: str, start: datetime) -> str:
    """Name of the partition of `table` that begins at `start`."""
    return f"{table}_p{start:%Y%m%d}"


def ensure_partitions(
    connection: Connection, table: str, first: datetime, last: datetime
) -> list[str]:
    """Make the partitions of `table` that `first`..`last` fall into.

    They are made in a moment, by a session and in a transaction of their own. Made by the caller's,
    they would keep all who need them waiting until the caller commits: whoever holds what the
    caller comes to wait for would wait in a circle with it. So they stay where the caller rolls
    back. They are attached rather than created in place, so that writers of the other partitions
    are not held up.

    Args:
        connection: The transaction that will write to them; it must not hold the table for itself.
        table: The table.
        first: First time.
        last: Last time.

    Returns:
        Names of the partitions that were made.
    """
    known = _known.setdefault(f"{connection.engine.url}/{table}", set())
    starts: dict[str, datetime] = {}
    start, _ = partition_bounds(table, first)
    while start <= last:
        name = partition_name(table, start)
        if name not in known:
            starts[name] = start
        _, start = partition_bounds(table, start)
    missing = {n: at for n, at in starts.items() if _find(connection, table, n) is None}
    made = _make(connection.engine, table, missing) if missing else []
    for name in starts:
        _look_at(connection, table, name)
        known.add(name)
    return made


def forget_partitions(engine: Engine) -> None:
    """Look again which partitions there are, when one is needed next."""
    for table in PARTITIONED:
        _known.pop(f"{engine.url}/{table}", None)


def _make(engine: Engine, table: str, starts: Mapping[str, datetime]) -> list[str]:
    """Make partitions by a session beside the pool's, which may all be in use; one at a time."""
    with _making, _beside(engine).begin() as connection:
        return [name for name, at in starts.items() if _attach(connection, table, name, at)]


def _beside(engine: Engine) -> Engine:
    """An engine without a pool, kept as long as the other: a new one asks what the server is."""
    if engine not in _apart:
        _apart[engine] = create_engine(
            engine.url, poolclass=NullPool, connect_args=dict(SESSION), use_native_hstore=False
        )
    return _apart[engine]


def _find(connection: Connection, table: str, name: str) -> str | None:
    """A partition as a statement is to name it; None: there is none.

    By the statement's snapshot: to_regclass answers from a cache that may miss what was committed
    while this transaction waited for the lock. Beside its table, whatever schema comes first on the
    search path.
    """
    statement = text(
        "SELECT p.oid::regclass::text FROM pg_class p JOIN pg_class t USING (relnamespace) "
        "WHERE p.relname = :name AND t.oid = CAST(:table AS regclass)"
    )
    found = connection.execute(statement, {"name": name, "table": table}).scalar()
    return None if found is None else str(found)


def _look_at(connection: Connection, table: str, name: str) -> None:
    """Let a transaction see a partition that came while it was using the table already.

    It hears of new partitions when it locks something that it has not locked before.
    """
    found = _find(connection, table, name)
    if found is not None:
        connection.execute(text(f"SELECT FROM {found} LIMIT 0"))


def _attach(connection: Connection, table: str, name: str, start: datetime) -> bool:
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": name})
    if _find(connection, table, name) is not None:
        return False
    schema = connection.execute(
        text(
            "SELECT relnamespace::regnamespace FROM pg_class WHERE oid = CAST(:table AS regclass)"
        ),
        {"table": table},
    ).scalar_one()
    connection.execute(
        text(
            f"CREATE TABLE {schema}.{name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"
        )
    )
    connection.execute(
        text(
            f"ALTER TABLE {table} ATTACH PARTITION {name} "
            f"FOR VALUES FROM ('{start.isoformat()}') "
            f"TO ('{partition_bounds(table, start)[1].isoformat()}')"
        )
    )
    return True


def list_partitions(connection: Connection, table: str) -> list[str]:
    """Names of the partitions of `table`, oldest first."""
    statement = text(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
        "WHERE i.inhparent = to_regclass(:name) ORDER BY c.relname"
    )
    return [str(row[0]) for row in connection.execute(statement, {"name": table})]


def drop_expired(connection: Connection, table: str, now: datetime, retain: timedelta) -> list[str]:
    """Drop the partitions of `table` that ended before `now - retain`.

    Returns:
        Names of the partitions that were dropped.
    """
    dropped = []
    width = timedelta(days=PARTITIONED[table].days)
    for name in list_partitions(connection, table):
        start = datetime.strptime(name.rsplit("_p", 1)[1], "%Y%m%d").replace(tzinfo=UTC)
        if start + width <= now - retain:
            connection.execute(text(f"DROP TABLE {name}"))
            _known.get(f"{connection.engine.url}/{table}", set()).discard(name)
            dropped.append(name)
    return dropped
