"""A stored history covers the time that was asked for, parts of a day too."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from services.lab.bench.api.repository import StoredHistory, store_history

END_AT = datetime(2026, 1, 12, tzinfo=UTC)
STEP_S = 3600


@pytest.mark.parametrize("n_days", [0.5, 1, 1.5])
def test_a_history_is_as_long_as_asked(database: Engine, n_days: float) -> None:
    history = StoredHistory(2, n_days, STEP_S, END_AT, kept={"forecasts": 1})
    store_history(database, history, lambda _: None)
    with database.connect() as connection:
        for table, column, days in (
            ("indicator_steps", "step_at", n_days),
            ("decisions", "origin_at", n_days),
            ("forecasts", "origin_at", min(n_days, 1)),
        ):
            found = connection.execute(
                text(f"SELECT count(*), min({column}), max({column}) FROM {table}")
            ).one()
            assert found == (
                2 * 24 * days,
                END_AT - timedelta(days=days),
                END_AT - timedelta(seconds=STEP_S),
            )
