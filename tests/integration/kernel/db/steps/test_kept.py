"""What a process keeps reads as the database does, whoever writes, when, and in which order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from sqlalchemy import Connection, Engine, text

from services.kernel.db.partitions import ensure_partitions
from services.kernel.db.steps import changes
from services.kernel.db.steps.blocks import to_us
from services.kernel.db.steps.grid import NamedWorkload, WantedSteps
from services.kernel.db.steps.kept import KeptSteps, load_grid
from tests.integration.stored_indicators import store_indicators

pytestmark = pytest.mark.integration
AT = datetime(2026, 1, 7, 20, tzinfo=UTC)  # partitions meet at midnight
STEP = timedelta(hours=1)
STEP_US = 3_600_000_000
DELETE = "DELETE FROM indicator_steps WHERE workload_id = :id AND step_at = :at"
SPECS = (("a", "b"), ("b", "c"), ("c", "a", "b"))


def wanted(
    newest: int, names: tuple[str, ...] = ("a", "b"), ids: tuple[int, ...] = (1, 2)
) -> WantedSteps:
    """A context of three steps, and two of a day before."""
    steps = [newest - 12, newest - 11, newest - 2, newest - 1, newest]
    steps_us = np.array([to_us(AT + n * STEP) for n in steps])
    return WantedSteps(tuple(NamedWorkload(id_, names) for id_ in ids), steps_us, STEP_US)


def register(connection: Connection, n: int = 3, shard_size: int = 2) -> None:
    connection.execute(
        text(
            "INSERT INTO workloads (namespace, name, shard, step_s, spec, created_at, updated_at) "
            "SELECT 'demo', 'w' || i, (i - 1) / :size, 3600, '{}', now(), now() "
            "FROM generate_series(1, :n) AS i"
        ),
        {"n": n, "size": shard_size},
    )
    ensure_partitions(connection, "indicator_steps", AT - 15 * STEP, AT + 24 * STEP)


def put(connection: Connection, workload: int, name: str, step: int, value: float | None) -> None:
    row = (workload, name, AT + step * STEP, value, value is not None)
    store_indicators(connection, [row])


WRITE = st.tuples(
    st.integers(1, 3), st.sampled_from("abc"), st.integers(-13, 8), st.none() | st.integers(0, 9)
)
ACTION = st.one_of(
    st.tuples(st.just("write"), WRITE),
    st.tuples(st.just("write late"), WRITE),  # and commit after others that began later
    st.tuples(st.just("fail"), WRITE),
    st.tuples(st.just("delete"), WRITE),
    st.tuples(st.just("read"), st.integers(0, 1), st.integers(0, 6), st.sampled_from(SPECS)),
    st.tuples(st.just("commit late")),
    st.tuples(st.just("forget marks")),
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ACTION, max_size=30))
def test_kept_and_read_anew_are_the_same(database: Engine, actions: list[tuple]) -> None:
    with database.begin() as connection:
        connection.execute(text("TRUNCATE workloads RESTART IDENTITY CASCADE"))
        connection.execute(text("TRUNCATE indicator_steps, indicator_changes"))
    with database.begin() as connection:
        register(connection)
    workers = [KeptSteps(), KeptSteps(most_bytes=200)]
    with database.connect() as late:
        late.execute(text("SET lock_timeout = '50ms'"))
        late.commit()
        held: set[tuple[int, int]] = set()
        for action, *given_ in actions:
            if action == "commit late":
                late.commit()
                held.clear()
            elif action == "read":
                number, newest, names = given_
                with database.begin() as connection:
                    asked = wanted(newest, names, (1, 2) if newest % 2 else (1, 2, 3))
                    found = workers[number].load(connection, asked)
                    np.testing.assert_array_equal(found, load_grid(connection, asked))
            elif action == "forget marks":
                with database.begin() as connection:
                    old = "UPDATE indicator_changes SET updated_at = '2026-01-01'"
                    connection.execute(text(old))
                    connection.execute(text(changes._FORGET), {"ids": [1, 3]})
            else:
                ((workload, name, step, value),) = given_
                if (workload, step) in held:
                    continue  # it would wait for the one that has not committed
                if action == "write late":
                    put(late, workload, name, step, value)
                    held.add((workload, step))
                    continue
                with database.connect() as connection:
                    if action == "delete":
                        connection.execute(
                            text(DELETE),
                            {"id": workload, "at": AT + step * STEP},
                        )
                    else:
                        put(connection, workload, name, step, value)
                    if action == "fail":
                        connection.rollback()
                    connection.commit()
        late.rollback()


def test_who_began_first_may_commit_last(database: Engine) -> None:
    fill(database)
    kept = KeptSteps()
    with database.connect() as slow:
        put(slow, 1, "a", 0, 70.0)
        with database.begin() as connection:
            put(connection, 2, "a", 0, 80.0)
        for _ in range(2):
            with database.begin() as connection:
                assert kept.load(connection, wanted(0))[:, -1, 0].tolist() == [0.0, 80.0]
        slow.commit()
    with database.begin() as connection:
        assert kept.load(connection, wanted(0))[:, -1, 0].tolist() == [70.0, 80.0]


def count_read(database: Engine, kept: KeptSteps, asked: WantedSteps) -> int:
    """Steps that a read takes from the database."""
    seen: list[int] = []
    original = changes.decode_steps

    def note(names: tuple[str, ...], packed: dict[int, bytes]) -> object:
        block = original(names, packed)
        seen.append(len(block.at_us))
        return block

    changes.decode_steps = note  # type: ignore[assignment]
    try:
        with database.begin() as connection:
            kept.load(connection, asked)
    finally:
        changes.decode_steps = original
    return sum(seen)


def fill(database: Engine) -> None:
    with database.begin() as connection:
        register(connection)
        rows = [
            (workload, name, AT + n * STEP, float(n), True)
            for workload in (1, 2, 3)
            for name in "ab"
            for n in range(-13, 8)
        ]
        store_indicators(connection, rows)


def test_a_cycle_reads_what_is_new_or_was_changed_only(database: Engine) -> None:
    fill(database)
    kept = KeptSteps()
    assert count_read(database, kept, wanted(0)) == 2 * 5
    assert count_read(database, kept, wanted(0)) == 0
    assert count_read(database, kept, wanted(1)) == 2 * 2  # the newest, and one of the day before
    with database.begin() as connection:
        put(connection, 2, "a", 0, 99.0)  # a late sample
        put(connection, 3, "a", 0, 99.0)  # of another shard
        put(connection, 1, "a", -5, 99.0)  # between what is wanted
    assert count_read(database, kept, wanted(1)) == 2
    assert count_read(database, kept, wanted(1)) == 0
    assert count_read(database, kept, wanted(1, ("b",))) == 2 * 5  # another spec


def test_what_does_not_fit_is_read_anew_and_what_was_read_last_stays(database: Engine) -> None:
    fill(database)
    size = load_size(database)
    kept = KeptSteps(most_bytes=2 * size)
    for ids in ((1,), (2,), (3,)):
        assert count_read(database, kept, wanted(0, ids=ids)) == 5
    assert kept.n_bytes == 2 * size
    assert count_read(database, kept, wanted(0, ids=(3,))) == 0
    assert count_read(database, kept, wanted(0, ids=(1,))) == 5
    small = KeptSteps(most_bytes=size - 1)
    assert [count_read(database, small, wanted(0, ids=(1,))) for _ in range(2)] == [5, 5]
    assert small.n_bytes == 0


def load_size(database: Engine) -> int:
    with database.begin() as connection:
        return load_grid(connection, wanted(0, ids=(1,))).nbytes


def test_what_a_transaction_wrote_itself_is_not_kept(database: Engine) -> None:
    fill(database)
    kept = KeptSteps()
    with database.connect() as connection:
        put(connection, 1, "a", 0, 50.0)
        assert kept.load(connection, wanted(0))[0, -1, 0] == 50.0
        connection.rollback()
    with database.begin() as connection:
        assert kept.load(connection, wanted(0))[0, -1, 0] == 0.0
