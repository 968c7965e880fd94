"""SQL that moves what releases before the steps wrote: rows of `indicator_values`, one per value.

A step's old rows are in that table or in `indicator_steps`, never in both: whoever writes a step
moves them first. Partitions are moved newest first and dropped once they are empty, so readers soon
need the new table only, and a run may be cut off at any moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from weakref import WeakSet

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from services.kernel.db.partitions import ensure_partitions, list_partitions
from services.kernel.db.schema import PARTITIONED

OLD = "indicator_values"
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_done: WeakSet[Engine] = WeakSet()
"""Databases of which all is known to have moved: no old partition is ever made again."""


@dataclass(frozen=True, slots=True)
class Moved:
    """Outcome of a batch.

    Attributes:
        n_steps: Steps that were moved.
        is_done: Nothing is left.
    """

    n_steps: int
    is_done: bool


def moved_since(connection: Connection) -> datetime:
    """Time from which on there are no old rows; long ago once all have moved."""
    if connection.engine in _done:
        return _LONG_AGO
    partitions = list_partitions(connection, OLD)
    if not partitions:
        _done.add(connection.engine)
        return _LONG_AGO
    return _bounds(partitions[-1])[1]


def has_unmoved(connection: Connection) -> bool:
    """Check whether any old partition is left."""
    return moved_since(connection) > _LONG_AGO


def move_touched(
    connection: Connection, ids: Sequence[int], first_at: datetime, last_at: datetime
) -> None:
    """Move the old rows of steps that are about to be written."""
    if first_at < moved_since(connection):
        _move(connection, ids, first_at, last_at)


def move_some(connection: Connection, n_workloads: int) -> Moved:
    """Move some workloads of the newest old partition; drop it once it is empty.

    Args:
        connection: A transaction of its own: what it moves is locked until it ends.
        n_workloads: So many at a time.
    """
    partitions = list_partitions(connection, OLD)
    if not partitions:
        return Moved(0, is_done=True)
    name = partitions[-1]
    statement = text(
        f"WITH RECURSIVE w AS ((SELECT workload_id FROM {name} ORDER BY workload_id LIMIT 1) "  # noqa: S608 - our tables
        f"UNION ALL SELECT (SELECT workload_id FROM {name} WHERE workload_id > w.workload_id "
        "ORDER BY workload_id LIMIT 1) FROM w WHERE w.workload_id IS NOT NULL) "
        "SELECT workload_id FROM w WHERE workload_id IS NOT NULL LIMIT :n"
    )
    ids = list(connection.execute(statement, {"n": n_workloads}).scalars())
    if not ids:
        _drop_empty(connection, name)
        return Moved(0, is_done=False)
    first_at, end_at = _bounds(name)
    return Moved(_move(connection, ids, first_at, end_at - timedelta(microseconds=1)), False)


def _move(connection: Connection, ids: Sequence[int], first_at: datetime, last_at: datetime) -> int:
    ensure_partitions(connection, "indicator_steps", first_at, last_at)
    statement = text("SELECT move_indicator_values(CAST(:ids AS integer[]), :first, :last)")
    given = {"ids": list(ids), "first": first_at, "last": last_at}
    return int(connection.execute(statement, given).scalar_one())


def _drop_empty(connection: Connection, name: str) -> None:
    """Drop an old partition; the next batch tries again where somebody reads it for long."""
    with connection.begin_nested() as attempt:
        try:
            connection.execute(text("SET LOCAL lock_timeout = '5s'"))
            connection.execute(text(f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE"))
            is_empty = text(f"SELECT NOT EXISTS (SELECT FROM {name})")  # noqa: S608 - our tables
            if connection.execute(is_empty).scalar_one():
                connection.execute(text(f"DROP TABLE {name}"))
                if not list_partitions(connection, OLD):
                    _show_steps_alone(connection)
        except OperationalError:
            attempt.rollback()


def _show_steps_alone(connection: Connection) -> None:
    """Leave the old table out of the view, which then reads as fast as a table does."""
    definition = text("SELECT pg_get_viewdef('indicators'::regclass)")
    shown = str(connection.execute(definition).scalar_one()).strip().rstrip(";")
    steps, _, old = shown.partition("UNION ALL")
    if old:
        connection.execute(text(f"CREATE OR REPLACE VIEW indicators AS {steps}"))


def _bounds(partition: str) -> tuple[datetime, datetime]:
    first_at = datetime.strptime(partition.rsplit("_p", 1)[1], "%Y%m%d").replace(tzinfo=UTC)
    return first_at, first_at + timedelta(days=PARTITIONED[OLD].days)
