"""Time partitions: made as rows arrive, dropped when their retention has passed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Engine, text

from services.kernel.db.schema import PARTITIONED

_DAY_S = 86400
_known: dict[str, set[str]] = {}


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

    A new partition is attached rather than created in place, so that writers of the other
    partitions are not held up.

    Returns:
        Names of the partitions that were made.
    """
    database = str(connection.engine.url)
    known = _known.setdefault(f"{database}/{table}", set())
    made: list[str] = []
    start, _ = partition_bounds(table, first)
    while start <= last:
        _, end = partition_bounds(table, start)
        name = partition_name(table, start)
        if name not in known:
            if _attach(connection, table, start, end):
                made.append(name)
            else:
                known.add(name)  # committed by someone earlier, so it stays even on rollback
        start = end
    return made


def forget_partitions(engine: Engine) -> None:
    """Look again which partitions there are, when one is needed next."""
    for table in PARTITIONED:
        _known.pop(f"{engine.url}/{table}", None)


def _attach(connection: Connection, table: str, start: datetime, end: datetime) -> bool:
    name = partition_name(table, start)
    # by the statement's snapshot: to_regclass answers from a cache that may miss what was committed
    # while this transaction waited for the lock
    # beside its table, whatever schema comes first on the search path
    exists = text(
        "SELECT 1 FROM pg_class p JOIN pg_class t USING (relnamespace) "
        "WHERE p.relname = :name AND t.oid = CAST(:table AS regclass)"
    )
    given = {"name": name, "table": table}
    if connection.execute(exists, given).scalar() is not None:
        return False
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": name})
    if connection.execute(exists, given).scalar() is not None:
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
            f"FOR VALUES FROM ('{start.isoformat()}') TO ('{end.isoformat()}')"
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
