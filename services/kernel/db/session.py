"""Engines, transactions with jobs that leave after commit, and bulk writes by COPY."""

from __future__ import annotations

import re
import select
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

import orjson
from psycopg import postgres
from psycopg.types.json import Jsonb
from sqlalchemy import Connection, Engine, Table, create_engine, event, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import OperationalError

from services.kernel.db.clusters import narrow_session
from services.kernel.db.partitions import ensure_partitions, forget_partitions
from services.kernel.db.schema import PARTITIONED
from services.kernel.errors import ConfigurationError, Unavailable
from services.kernel.jobs import Job, JobSender
from services.kernel.server_errors import is_partition_missing
from services.kernel.server_limits import SESSION

_MOST_CONNECTIONS = 10
_JSONB = postgres.types["jsonb"].oid
FEW_ROWS = 8
"""Rows up to which each is an `INSERT` of its own."""


def sqlalchemy_url(url: str) -> str:
    """`url` with the psycopg 3 driver named.

    Raises:
        ConfigurationError: It is not a Postgres URL.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.split("+")[0] not in {"postgresql", "postgres"}:
        raise ConfigurationError(
            f"HARMONY_DATABASE_URL={shown_url(url)!r} must be a Postgres URL, "
            "e.g. postgresql://user:password@host:5432/harmony"
        )
    return f"postgresql+psycopg://{rest}"


def shown_url(url: str) -> str:
    """`url` as people may see it: its user and password are left out."""
    return re.sub(r"//[^/@]*@", "//…@", url)


_engines: dict[tuple[str, int, str], Engine] = {}
_engines_lock = threading.Lock()


def make_engine(url: str, n_kept: int = 5, cluster: str = "") -> Engine:
    """The process's engine for `url`, made once.

    None is given up unasked: whoever holds it would go on with connections that nobody closes.

    Args:
        url: Postgres URL.
        n_kept: Connections that stay open; up to 10 are opened at a time.
        cluster: Name of the cluster whose rows are all that is seen; empty: those of all.
    """
    key = (url, n_kept, cluster)
    with _engines_lock:
        if key not in _engines:
            _engines[key] = _new_engine(url, n_kept)
            if cluster:
                see = partial(_see_one, cluster)
                event.listen(_engines[key], "connect", see)
        return _engines[key]


def _see_one(cluster: str, driver: DBAPIConnection, _record: object) -> None:
    narrow_session(driver, cluster)


def dispose_engines(url: str) -> None:
    """Close the process's engines for `url` and forget them, before its database goes."""
    with _engines_lock:
        for key in [key for key in _engines if key[0] == url]:
            _engines.pop(key).dispose()


def _new_engine(url: str, n_kept: int) -> Engine:
    engine = create_engine(
        sqlalchemy_url(url),
        pool_size=n_kept,
        max_overflow=_MOST_CONNECTIONS - n_kept,
        pool_pre_ping=True,
        json_deserializer=orjson.loads,
        connect_args=dict(SESSION),
        use_native_hstore=False,  # no column is one: each engine would ask the server for the type
    )
    ping = engine.dialect.do_ping

    def ping_if_heard(connection: DBAPIConnection) -> bool:
        """A server that went away has closed the socket; while it is silent, nobody need ask."""
        return _is_silent(connection) or ping(connection)

    engine.dialect.do_ping = ping_if_heard  # type: ignore[assignment]  # what pool_pre_ping asks
    return engine


def _is_silent(connection: DBAPIConnection) -> bool:
    """Check whether an idle connection is open with nothing to read from it."""
    driver: Any = connection
    if driver.closed:
        return False
    poll = select.poll()
    poll.register(driver.fileno(), select.POLLIN | select.POLLERR | select.POLLHUP)
    return not poll.poll(0)


def check_reachable(engine: Engine) -> None:
    """Connect once.

    Raises:
        Unavailable: The server does not answer.
    """
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except OperationalError as error:
        reason = str(error.orig).strip().splitlines()[0] if error.orig else str(error)
        shown = engine.url.render_as_string(hide_password=True)
        raise Unavailable(
            f"database {shown} cannot be reached: {reason}; start it, or set HARMONY_DATABASE_URL"
        ) from error


@dataclass(slots=True)
class UnitOfWork:
    """One transaction and the jobs that leave once it has committed."""

    connection: Connection
    jobs: list[Job] = field(default_factory=list)

    def send_after_commit(self, job: Job) -> None:
        """Queue a job; it is dropped if the transaction rolls back."""
        self.jobs.append(job)


@contextmanager
def unit_of_work(engine: Engine, sender: JobSender | None = None) -> Iterator[UnitOfWork]:
    """One transaction; jobs are sent after it has committed, never before.

    A process that dies between commit and send costs latency only: the sweeps send again.
    """
    try:
        with engine.begin() as connection:
            work = UnitOfWork(connection)
            yield work
    except Exception as error:
        if is_partition_missing(error):  # somebody has dropped it: the next transaction looks again
            forget_partitions(engine)
        raise
    if sender is not None:
        for job in work.jobs:
            sender.send(job)


def next_ids(connection: Connection, sequence: str, n: int) -> list[int]:
    """`n` fresh ids of `sequence`."""
    if n == 0:
        return []
    statement = text("SELECT nextval(:sequence) FROM generate_series(1, :n)")
    rows = connection.execute(statement, {"sequence": sequence, "n": n})
    return [int(row[0]) for row in rows]


@dataclass(frozen=True, slots=True)
class CopyTarget:
    """Table that `copy_rows` writes to, and its rule for rows whose key is there already.

    Attributes:
        table: Destination.
        columns: Columns of the rows, in order.
        on_conflict: `nothing` keeps the old row, `update` overwrites it; a bare `COPY` without
            a staging table is used for `error`, the fastest, which fails on a duplicate.
        key: Columns of the unique key that `update` and `nothing` refer to; empty: any key.
        updated: Columns that `update` overwrites; empty: all but the key.
        settled: Truth of the old row that `update` spares it by; empty: it spares none.
        is_binary: Values go as the server keeps them, which is several times less work for arrays
            and bytes; JSON goes as text that is JSON already.
    """

    table: Table
    columns: tuple[str, ...]
    on_conflict: str = "nothing"
    key: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    settled: str = ""
    is_binary: bool = False

    def types(self) -> list[int]:
        """The server's numbers of the types of its columns."""
        dialect, found = postgresql.dialect(), []  # type: ignore[no-untyped-call]
        for column in self.columns:
            name = self.table.columns[column].type.compile(dialect=dialect).lower()
            known = postgres.types[name.removesuffix("[]")]
            found.append(known.array_oid if name.endswith("[]") else known.oid)
        return found


def copy_rows(connection: Connection, target: CopyTarget, rows: Iterable[Sequence[Any]]) -> int:
    """Write rows by `COPY`, making partitions as needed; few rows by one `INSERT` each.

    A staging table is made, filled and read back in five statements: many rows pay for that.

    Args:
        connection: An open transaction.
        target: Destination and conflict rule.
        rows: Values in the order of `target.columns`.

    Returns:
        Rows written (for `nothing`: rows that were new; for `update`: those not spared).
    """
    rows = list(rows)
    if not rows:
        return 0
    _ensure_row_partitions(connection, target, rows)
    if target.on_conflict == "error":
        _copy_into(connection, target.table.name, target, rows)
        return len(rows)
    names = ", ".join(f'"{column}"' for column in target.columns)
    if len(rows) <= FEW_ROWS:
        return _insert_each(connection, target, rows)
    staging = f"staging_{target.table.name}"
    connection.execute(text(f"DROP TABLE IF EXISTS pg_temp.{staging}"))
    connection.execute(
        text(
            f"CREATE TEMP TABLE {staging} ON COMMIT DROP AS "  # noqa: S608 - names of our schema
            f"SELECT {names} FROM {target.table.name} WITH NO DATA"
        )
    )
    _copy_into(connection, staging, target, rows)
    statement = (
        f"INSERT INTO {target.table.name} ({names}) SELECT {names} FROM {staging} "  # noqa: S608
        f"ON CONFLICT {_conflict_clause(target)}"
    )
    return connection.execute(text(statement)).rowcount


def _insert_each(connection: Connection, target: CopyTarget, rows: Sequence[Sequence[Any]]) -> int:
    """Write rows one by one; the server plans the statement once for all of them."""
    names = ", ".join(f'"{column}"' for column in target.columns)
    places = ", ".join(["%s"] * len(target.columns))
    driver: Any = connection.connection.driver_connection
    statement = (
        f"INSERT INTO {target.table.name} ({names}) VALUES ({places}) "  # noqa: S608 - our names
        f"ON CONFLICT {_conflict_clause(target)}"
    )
    with driver.cursor() as cursor:
        if len(rows) == 1:
            cursor.execute(statement, rows[0])
        else:
            cursor.executemany(statement, rows)
        return int(cursor.rowcount)


def _conflict_clause(target: CopyTarget) -> str:
    key = ", ".join(f'"{column}"' for column in target.key)
    if target.on_conflict == "nothing":
        return f"({key}) DO NOTHING" if key else "DO NOTHING"
    changed = target.updated or [c for c in target.columns if c not in target.key]
    assignments = ", ".join(f'"{column}" = EXCLUDED."{column}"' for column in changed)
    spared = f' WHERE NOT {target.table.name}."{target.settled}"' if target.settled else ""
    return f"({key}) DO UPDATE SET {assignments}{spared}"


def _ensure_row_partitions(
    connection: Connection, target: CopyTarget, rows: Sequence[Sequence[Any]]
) -> None:
    partitioning = PARTITIONED.get(target.table.name)
    if partitioning is None:
        return
    position = target.columns.index(partitioning.column)
    times: list[datetime] = [row[position] for row in rows]
    ensure_partitions(connection, target.table.name, min(times), max(times))


def _copy_into(
    connection: Connection, table: str, target: CopyTarget, rows: Iterable[Sequence[Any]]
) -> None:
    names = ", ".join(f'"{column}"' for column in target.columns)
    driver: Any = connection.connection.driver_connection
    form = " (FORMAT BINARY)" if target.is_binary else ""
    statement = f'COPY "{table}" ({names}) FROM STDIN{form}'
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        if target.is_binary:
            types = target.types()
            copy.set_types(types)
            rows = _with_json(rows, [at for at, one in enumerate(types) if one == _JSONB])
        for row in rows:
            copy.write_row(row)


def _with_json(rows: Iterable[Sequence[Any]], columns: Sequence[int]) -> Iterable[Sequence[Any]]:
    """Rows whose JSON is text already, which is not to be quoted again."""
    if not columns:
        return rows
    return (
        [Jsonb(v, dumps=str) if at in columns and v is not None else v for at, v in enumerate(row)]
        for row in rows
    )
