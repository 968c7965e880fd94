"""Partitions are made as rows arrive, and dropped once they have expired."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from services.kernel.db.partitions import (
    drop_expired,
    ensure_partitions,
    list_partitions,
    partition_bounds,
)
from services.kernel.db.schema import observations
from services.kernel.db.session import (
    FEW_ROWS,
    CopyTarget,
    UnitOfWork,
    copy_rows,
    make_engine,
    unit_of_work,
)
from services.kernel.jobs import RecordingSender

AT = datetime(2026, 1, 5, tzinfo=UTC)
COLUMNS = ("workload_id", "indicator", "observed_at", "value")
TARGET = CopyTarget(observations, COLUMNS)
pytestmark = pytest.mark.integration


def write_then_fail(
    database: Engine,
    write: Callable[[UnitOfWork], object],
    sender: RecordingSender | None = None,
) -> None:
    with unit_of_work(database, sender) as work:
        write(work)
        raise RuntimeError("stop")


def test_rolled_back_partition_is_made_again(database: Engine) -> None:
    row = [(1, "load_rps", AT, 1.0)]
    target = CopyTarget(observations, COLUMNS)
    with pytest.raises(RuntimeError, match="stop"):
        write_then_fail(database, lambda work: copy_rows(work.connection, target, row))
    with unit_of_work(database) as work:
        assert copy_rows(work.connection, target, row) == 1


def test_retention_drops_only_what_has_wholly_expired(database: Engine) -> None:
    with unit_of_work(database) as work:
        ensure_partitions(work.connection, "observations", AT, AT + timedelta(days=3))
        names = list_partitions(work.connection, "observations")
        _, end = partition_bounds("observations", AT)
        dropped = drop_expired(
            work.connection, "observations", end + timedelta(days=2), timedelta(days=2)
        )
        assert dropped == names[:1]
        assert list_partitions(work.connection, "observations") == names[1:]


def test_many_writers_may_make_a_partition_at_once(database: Engine) -> None:
    def write(number: int) -> int:
        with unit_of_work(database) as work:
            row = (number, "load_rps", AT, 1.0)
            return copy_rows(work.connection, CopyTarget(observations, COLUMNS), [row])

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(write, range(16))) == [1] * 16


def test_whoever_needs_a_new_partition_does_not_wait_for_who_made_it(database: Engine) -> None:
    """Its maker may wait for something that the other holds: each would wait for the other."""
    with database.begin() as maker, database.begin() as other:
        assert copy_rows(maker, TARGET, [(1, "load_rps", AT, 1.0)]) == 1
        other.execute(text("SET LOCAL lock_timeout = '100ms'"))
        assert copy_rows(other, TARGET, [(2, "load_rps", AT, 1.0)]) == 1


@pytest.mark.parametrize("n", [1, FEW_ROWS + 1])
def test_a_transaction_sees_the_partitions_that_it_had_made(database: Engine, n: int) -> None:
    """Also where it has used the table before, and would look at it as it was then."""
    with unit_of_work(database) as work:
        for day in range(3):
            at = AT + timedelta(days=day)
            rows = [(one, "load_rps", at, 1.0) for one in range(n)]
            assert copy_rows(work.connection, TARGET, rows) == n


def test_a_partition_can_be_made_while_all_connections_are_in_use(database: Engine) -> None:
    engine = make_engine(database.url.render_as_string(hide_password=False), n_kept=4)
    try:
        with ExitStack() as stack:
            connections = [stack.enter_context(engine.begin()) for _ in range(10)]
            assert copy_rows(connections[0], TARGET, [(1, "load_rps", AT, 1.0)]) == 1
    finally:
        engine.dispose()
