"""A step's row keeps each value, whatever is written of it, when, and under which names."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import IntegrityError

from services.kernel.db.partitions import ensure_partitions
from services.kernel.db.steps.reading import SeriesName, Span, load_seen
from tests.integration.stored_indicators import store_indicators

pytestmark = pytest.mark.integration
AT = datetime(2026, 1, 7, 23, 58, tzinfo=UTC)  # partitions meet at midnight
STEP = timedelta(seconds=60)
Cell = tuple[float | None, bool]
Shown = dict[tuple[int, str, datetime], Cell]
NAMES = ("a", "b", "c")


def shown(connection: Connection) -> Shown:
    rows = connection.execute(text("SELECT * FROM indicators")).all()
    found = {(row[0], row[1], row[2]): (row[3], row[4]) for row in rows}
    assert len(found) == len(rows)
    return found


def seen(connection: Connection, ids: Sequence[int]) -> Shown:
    wanted = [SeriesName(key, name) for key in ids for name in NAMES]
    spans = [Span(AT - STEP, AT + STEP), Span(AT + 2 * STEP, AT + 9 * STEP)]
    found = {}
    for key, steps in load_seen(connection, wanted, spans).items():
        assert sorted(steps.at_us.tolist()) == steps.at_us.tolist()
        for at_us, value in zip(steps.at_us.tolist(), steps.values.tolist(), strict=True):
            at = datetime.fromtimestamp(at_us / 1e6, UTC)
            found[key.workload_id, key.indicator, at] = (value, True)
    return found


CELLS = st.none() | st.integers(0, 9).map(float)
WRITES = st.lists(
    st.dictionaries(
        st.tuples(st.integers(1, 2), st.sampled_from(NAMES), st.integers(0, 4)), CELLS, min_size=1
    ),
    max_size=6,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(WRITES)
def test_an_observed_value_is_replaced_by_another_never_by_a_gap(
    database: Engine, writes: list[dict[tuple[int, str, int], float | None]]
) -> None:
    expected: Shown = {}
    with database.begin() as connection:
        ensure_partitions(connection, "indicator_steps", AT, AT + STEP * 9)
    with database.connect() as connection:
        for written in writes:
            rows: list[tuple[Any, ...]] = []
            changed = set()
            for (key, name, step), value in written.items():
                at = AT + step * STEP
                rows.append((key, name, at, value, value is not None))
                before = expected.get((key, name, at))
                if value is not None or before is None or not before[1]:
                    if before != (value, value is not None):
                        changed.add((key, at))
                    expected[key, name, at] = (value, value is not None)
            assert store_indicators(connection, rows) == len(changed)
            assert store_indicators(connection, rows) == 0
        assert shown(connection) == expected
        assert seen(connection, [1, 2]) == {key: one for key, one in expected.items() if one[1]}
        connection.rollback()


def test_two_writers_of_one_step_lose_nothing(database: Engine) -> None:
    def write(number: int) -> None:
        with database.begin() as connection:
            store_indicators(connection, [(1, f"i{number}", AT, float(number), True)])

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, range(12)))
    with database.connect() as connection:
        assert shown(connection) == {(1, f"i{n}", AT): (float(n), True) for n in range(12)}


def test_the_view_takes_rows_and_corrections(database: Engine) -> None:
    with database.begin() as connection:
        store_indicators(connection, [(1, "a", AT, 1.0, True), (1, "b", AT, None, False)])
        add = "INSERT INTO indicators (workload_id, indicator, step_at, value, is_observed) "
        connection.execute(text(f"{add} VALUES (1, 'c', :at, 3, true)"), {"at": AT})
        connection.execute(text(f"{add} VALUES (1, 'b', :at, 2.5, false)"), {"at": AT})
        connection.execute(text("UPDATE indicators SET value = value + 1 WHERE indicator = 'a'"))
        connection.execute(text("UPDATE indicators SET is_observed = false WHERE indicator = 'c'"))
        assert shown(connection) == {
            (1, "a", AT): (2.0, True),
            (1, "b", AT): (2.5, False),
            (1, "c", AT): (3.0, False),
        }
        assert seen(connection, [1]) == {(1, "a", AT): (2.0, True)}
        connection.execute(text("DELETE FROM indicators WHERE indicator = 'a'"))
        assert {key[1] for key in shown(connection)} == {"b", "c"}


def test_a_row_that_could_not_be_read_is_refused(database: Engine) -> None:
    with database.begin() as connection:
        store_indicators(connection, [(1, "a", AT, 1.0, True)])
    for change in ("\"values\" = '{NULL}'", "states = '\\x0101'"):
        with pytest.raises(IntegrityError, match="whole"), database.begin() as connection:
            connection.execute(text(f"UPDATE indicator_steps SET {change}"))


def test_a_look_at_one_workload_or_one_hour_reads_little_of_the_view(database: Engine) -> None:
    with database.begin() as connection:
        rows = [(key, "a", AT + n * STEP, 1.0, True) for key in range(1, 40) for n in range(200)]
        store_indicators(connection, rows)
        connection.execute(text("ANALYZE indicator_steps"))
        given = {"at": AT + timedelta(hours=2), "end": AT + timedelta(hours=3)}
        plan = "\n".join(
            connection.execute(
                text(
                    "EXPLAIN SELECT i.* FROM workloads w JOIN indicators i ON i.workload_id = w.id "
                    "AND i.indicator = w.spec->>'demand' WHERE w.name = 'w' "
                    "AND i.step_at BETWEEN :at AND :end"
                ),
                given,
            ).scalars()
        )
    assert "Seq Scan on indicator_steps" not in plan
    assert "indicator_steps_p20260101" not in plan  # of the days before
    assert "indicator_steps_p20260108" in plan
