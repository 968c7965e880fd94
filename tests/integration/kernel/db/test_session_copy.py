"""Bulk writes by COPY keep the keys."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, select

from services.kernel.db.partitions import (
    list_partitions,
)
from services.kernel.db.schema_steps import indicator_values
from services.kernel.db.session import CopyTarget, copy_rows, unit_of_work

AT = datetime(2026, 1, 5, tzinfo=UTC)
COLUMNS = ("workload_id", "indicator", "step_at", "value", "is_observed")
KEY = ("workload_id", "indicator", "step_at")
pytestmark = pytest.mark.integration


def test_copy_makes_partitions_and_keeps_or_overwrites(database: Engine) -> None:
    rows = [(1, "load_rps", AT + timedelta(days=9 * n), float(n), True) for n in range(3)]
    keep = CopyTarget(indicator_values, COLUMNS)
    overwrite = CopyTarget(indicator_values, COLUMNS, on_conflict="update", key=KEY)
    with unit_of_work(database) as work:
        assert copy_rows(work.connection, keep, rows) == 3
    changed = [(*row[:3], 99.0, True) for row in rows]
    with unit_of_work(database) as work:
        assert copy_rows(work.connection, keep, changed) == 0
        values = work.connection.execute(select(indicator_values.c.value)).scalars().all()
        assert sorted(values) == [0.0, 1.0, 2.0]
        copy_rows(work.connection, overwrite, changed)
        assert set(work.connection.execute(select(indicator_values.c.value)).scalars()) == {99.0}
        assert len(list_partitions(work.connection, "indicator_values")) == 4


def test_an_update_may_spare_settled_rows_and_columns(database: Engine) -> None:
    rows = [(1, "load_rps", AT, 1.0, True), (1, "used_ratio", AT, 1.0, False)]
    target = CopyTarget(indicator_values, COLUMNS, "update", KEY, ("value",), "is_observed")
    with unit_of_work(database) as work:
        assert copy_rows(work.connection, target, rows) == 2
        changed = [(*row[:3], 2.0, True) for row in rows]
        assert copy_rows(work.connection, target, changed) == 1
        c = indicator_values.c
        found = select(c.value, c.is_observed).order_by(c.value)
        assert [tuple(r) for r in work.connection.execute(found)] == [(1.0, True), (2.0, False)]
