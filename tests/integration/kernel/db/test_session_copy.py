"""Bulk writes by COPY keep the keys."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, Engine, Table, event, select

from services.kernel.db import session
from services.kernel.db.partitions import (
    list_partitions,
)
from services.kernel.db.schema import decisions, forecasts
from services.kernel.db.schema_steps import indicator_values
from services.kernel.db.session import FEW_ROWS, CopyTarget, copy_rows, unit_of_work

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


FORECAST = (
    *(7, AT, 3, "flow-1", "model", 'why, \\ "so"', 60, 2),
    *([0.1, 0.9], [[1.5, 2.25], [0.1, 1e-30]], 2, b"\\x00\x00", 0.1, ["a", "b c"], None, [1.0], AT),
)
REFUSED = (8, AT, 4, "flow-1", "none", "short", 60, 2, [], [], 0, None, None, None, None, None, AT)
FORECASTS = (
    *("id", "origin_at", "workload_id", "model_version", "rung", "reason", "step_s", "n_horizon"),
    *("quantile_levels", "quantiles", "n_paths", "paths", "path_scale"),
    *("further_names", "further_paths", "further_scales", "created_at"),
)
DECISION = (
    *(7, AT, 3, 7, "harmony-1", AT, AT, 1, 2, 3, "up", "why", None, "model", 0.1, None, 0.0),
    *('{"summary": "\\"quoted\\" \u00e9", "n": [1, null]}', None),
)
DECISIONS = (
    *("id", "origin_at", "workload_id", "forecast_id", "policy_version", "decided_at"),
    *("valid_until", "current_replicas", "raw_replicas", "desired_replicas", "direction"),
    *("reason", "binding_constraint", "rung", "risk_target", "risk_estimated"),
    *("cost_delta_usd_per_h", "explanation", "variants"),
)


@pytest.mark.parametrize("on_conflict", ["error", "nothing"])
def test_binary_rows_are_those_of_text(database: Engine, on_conflict: str) -> None:
    for table, columns, rows in (
        (forecasts, FORECASTS, [FORECAST, REFUSED]),
        (decisions, DECISIONS, [DECISION]),
    ):
        found = []
        for is_binary in (False, True):
            target = CopyTarget(table, columns, on_conflict, is_binary=is_binary)
            with unit_of_work(database) as work:
                assert copy_rows(work.connection, target, rows) == len(rows)
                found.append([tuple(row) for row in work.connection.execute(select(table))])
                work.connection.execute(table.delete())
        assert found[0] == found[1]


@pytest.mark.parametrize("table", [forecasts, decisions])
@pytest.mark.parametrize("is_binary", [False, True])
def test_few_rows_are_stored_as_many_are(
    database: Engine, monkeypatch: pytest.MonkeyPatch, table: Table, is_binary: bool
) -> None:
    columns, rows = {
        "forecasts": (FORECASTS, [FORECAST, REFUSED]),
        "decisions": (DECISIONS, [DECISION]),
    }[table.name]
    target = CopyTarget(table, columns, is_binary=is_binary)
    found = []
    for few in (FEW_ROWS, 0):
        monkeypatch.setattr(session, "FEW_ROWS", few)
        with unit_of_work(database) as work:
            assert copy_rows(work.connection, target, rows) == len(rows)
            assert copy_rows(work.connection, target, rows) == 0
            found.append([tuple(row) for row in work.connection.execute(select(table))])
            work.connection.execute(table.delete())
    assert found[0] == found[1]


def test_few_rows_need_no_staging_table(database: Engine) -> None:
    rows = [(1, "load_rps", AT + timedelta(hours=n), float(n), True) for n in range(FEW_ROWS + 1)]
    target = CopyTarget(indicator_values, COLUMNS, "update", KEY)
    with unit_of_work(database) as work:
        copy_rows(work.connection, target, rows)  # the partition is made
        assert _staged(work.connection, target, rows[:-1]) == (FEW_ROWS, 0)
        assert _staged(work.connection, target, rows) == (FEW_ROWS + 1, 2)


def _staged(
    connection: Connection, target: CopyTarget, rows: list[tuple[object, ...]]
) -> tuple[int, int]:
    """Rows written, and statements about a staging table before its rows are read back."""
    seen: list[str] = []

    def note(*given: object) -> None:
        seen.append(str(given[2]))

    event.listen(connection, "before_cursor_execute", note)
    try:
        n = copy_rows(connection, target, rows)
    finally:
        event.remove(connection, "before_cursor_execute", note)
    return n, sum("TABLE" in one for one in seen)
