"""What a release before the steps wrote is moved bit by bit, and reads the same at any moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from alembic import command
from sqlalchemy import Engine, text

from services.kernel.db import migrations
from services.kernel.db.partitions import list_partitions
from services.kernel.db.steps import moving
from services.kernel.db.steps.reading import SeriesName, Span, load_seen
from tests.integration.stored_indicators import store_indicators

pytestmark = pytest.mark.integration
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
N_DAYS = 16  # three partitions of a week
STEP = timedelta(hours=1)
LAST = FIRST + N_DAYS * 24 * STEP
NAMES = ("load_rps", "heat_celsius", "plan", "queue")
Row = tuple[Any, ...]

# as 5b6efcf wrote it: gaps, an imputed value, a value of a day that is known ahead, a spec that
# loses an indicator and gains another
FIXTURE = """
INSERT INTO indicators (workload_id, indicator, step_at, value, is_observed)
SELECT w.id, n.name, s.at,
       CASE WHEN k.k % 7 = 3 AND n.name <> 'plan' THEN NULL ELSE w.id * 1000 + k.k + 0.25 END,
       k.k % 7 <> 3 AND NOT (n.name = 'heat_celsius' AND k.k % 11 = 5)
FROM generate_series(1, 3) AS w(id)
CROSS JOIN generate_series(CAST(:first AS timestamptz), :last, interval '1 hour') AS s(at)
CROSS JOIN LATERAL (SELECT (extract(epoch FROM s.at) / 3600)::int % 1000 AS k) k
CROSS JOIN (VALUES ('load_rps'), ('heat_celsius'), ('plan'), ('queue')) AS n(name)
WHERE (n.name <> 'queue' OR s.at >= CAST(:first AS timestamptz) + interval '9 days')
AND (n.name <> 'heat_celsius' OR s.at < CAST(:first AS timestamptz) + interval '13 days')
"""


@pytest.fixture
def old(database: Engine) -> Engine:
    """A database that the last release has written to, brought to this one's revision."""
    config = migrations._config()
    with database.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0017")
        connection.commit()
    with database.begin() as connection:
        for week in range(4):
            start = datetime(2025, 12, 25, tzinfo=UTC) + timedelta(days=7 * week)
            name = f"indicators_p{start:%Y%m%d}"
            connection.execute(
                text(
                    f"CREATE TABLE {name} PARTITION OF indicators FOR VALUES FROM ('{start}') "
                    f"TO ('{start + timedelta(days=7)}')"
                )
            )
        connection.execute(text(FIXTURE), {"first": FIRST, "last": LAST})
    return database


def migrate(engine: Engine) -> None:
    assert migrations.migrate(engine) == migrations.head_revision()


def all_rows(engine: Engine) -> list[Row]:
    with engine.connect() as connection:
        query = text("SELECT * FROM indicators ORDER BY workload_id, indicator, step_at")
        return [tuple(row) for row in connection.execute(query)]


def seen(engine: Engine) -> set[Row]:
    wanted = [SeriesName(key, name) for key in (1, 2, 3) for name in NAMES]
    with engine.connect() as connection:
        found = load_seen(connection, wanted, [Span(FIRST, LAST)])
    return {
        (key.workload_id, key.indicator, datetime.fromtimestamp(at_us / 1e6, UTC), value)
        for key, steps in found.items()
        for at_us, value in zip(steps.at_us.tolist(), steps.values.tolist(), strict=True)
    }


def observed(rows: list[Row]) -> set[Row]:
    return {row[:4] for row in rows if row[4] and row[3] is not None}


def move_one_batch(engine: Engine) -> moving.Moved:
    with engine.begin() as connection:
        return moving.move_some(connection, 1)


def test_every_row_reads_the_same_at_any_moment_of_the_move(old: Engine) -> None:
    before = all_rows(old)
    assert len(before) > 3 * 24 * N_DAYS * 3
    migrate(old)
    n_steps, n_batches = 0, 0
    while not (moved := move_one_batch(old)).is_done:
        n_steps, n_batches = n_steps + moved.n_steps, n_batches + 1
        assert all_rows(old) == before
        assert seen(old) == observed(before)
    assert n_steps == len({(row[0], row[2]) for row in before})
    assert n_batches > 9
    assert all_rows(old) == before
    assert seen(old) == observed(before)
    with old.connect() as connection:
        assert list_partitions(connection, moving.OLD) == []
        assert moving.moved_since(connection).year == 1970
        shown = connection.execute(text("SELECT pg_get_viewdef('indicators'::regclass)")).scalar()
        assert moving.OLD not in str(shown)


def test_who_could_read_the_table_can_read_the_view(old: Engine) -> None:
    role = f"reader_{uuid4().hex[:8]}"
    with old.begin() as connection:
        connection.execute(text(f"CREATE ROLE {role}"))
        connection.execute(text(f"GRANT SELECT ON indicators TO {role}"))
    try:
        migrate(old)
        with old.connect() as connection:
            connection.execute(text(f"SET ROLE {role}"))
            assert connection.execute(text("SELECT count(*) FROM indicators")).scalar_one() > 0
    finally:
        with old.begin() as connection:
            connection.execute(text(f"DROP OWNED BY {role}"))
            connection.execute(text(f"DROP ROLE {role}"))


def test_a_batch_that_is_cut_off_has_moved_nothing_and_the_next_one_goes_on(old: Engine) -> None:
    before = all_rows(old)
    migrate(old)
    with old.connect() as connection:
        assert moving.move_some(connection, 2).n_steps > 0
        connection.rollback()
    assert all_rows(old) == before
    assert move_one_batch(old).n_steps > 0
    assert all_rows(old) == before


def test_a_step_that_is_written_moves_first_and_stays_one(old: Engine) -> None:
    migrate(old)
    expected = {row[:3]: row[3:] for row in all_rows(old)}
    late = FIRST + 30 * STEP
    rows = [
        (1, "load_rps", late, 7.0, True),
        (1, "new", late, 8.0, True),
        (2, "plan", late, None, False),
    ]
    with old.begin() as connection:
        store_indicators(connection, rows)
    expected[1, "load_rps", late] = (7.0, True)
    expected[1, "new", late] = (8.0, True)
    assert {row[:3]: row[3:] for row in all_rows(old)} == expected
    while not move_one_batch(old).is_done:
        pass
    assert {row[:3]: row[3:] for row in all_rows(old)} == expected


def test_a_step_that_is_moved_and_written_at_once_loses_nothing(old: Engine) -> None:
    migrate(old)
    late = LAST - STEP
    with old.connect() as mover, old.connect() as writer:
        moving.move_some(mover, 1)  # workload 1 of the newest week, not committed
        writer.execute(text("SET LOCAL lock_timeout = '200ms'"))
        with pytest.raises(Exception, match="lock timeout"):
            store_indicators(writer, [(1, "plan", late, 5.0, True)])
        writer.rollback()
        mover.commit()
        store_indicators(writer, [(1, "plan", late, 5.0, True)])
        writer.commit()
    found = {row[1]: row[3] for row in all_rows(old) if row[0] == 1 and row[2] == late}
    assert found["plan"] == 5.0
    assert set(found) == {"load_rps", "plan", "queue"}


def test_a_downgrade_takes_everything_back(old: Engine) -> None:
    before = all_rows(old)
    migrate(old)
    move_one_batch(old)
    config = migrations._config()
    with old.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0017")
        connection.commit()
    assert all_rows(old) == before
