"""Steps are read whole or by indicator, whatever their layouts, and each stretch once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from services.kernel.db.steps.blocks import to_us
from services.kernel.db.steps.reading import SeriesName, Span, load_seen, load_steps
from tests.integration.stored_indicators import store_indicators

pytestmark = pytest.mark.integration
AT = datetime(2026, 1, 7, 12, tzinfo=UTC)
STEP = timedelta(hours=1)
SPANS = [Span(AT, AT + 2 * STEP), Span(AT + 6 * STEP, AT + 24 * STEP)]


def test_a_spec_that_changes_its_indicators_keeps_what_was_stored(database: Engine) -> None:
    rows = [(1, name, AT, value, True) for name, value in (("a", 1.0), ("b", 2.0))]
    rows += [(1, name, AT + STEP, value, True) for name, value in (("b", 3.0), ("a", 4.0))]
    rows += [(1, name, AT + 2 * STEP, value, True) for name, value in (("c", 5.0), ("b", 6.0))]
    with database.begin() as connection:
        store_indicators(connection, rows)
        found = load_seen(connection, [SeriesName(1, name) for name in "abc"], SPANS)
    assert {key.indicator: steps.values.tolist() for key, steps in found.items()} == {
        "a": [1.0, 4.0],
        "b": [2.0, 3.0, 6.0],
        "c": [5.0],
    }
    assert found[SeriesName(1, "b")].at_us.tolist() == [to_us(AT + n * STEP) for n in range(3)]


def test_only_what_is_asked_for_is_read(database: Engine) -> None:
    rows = [(key, "a", AT + n * STEP, float(n), n % 4 > 0) for key in (1, 2) for n in range(12)]
    with database.begin() as connection:
        store_indicators(connection, rows)
        (block,) = load_steps(connection, {"a": [2, 9]}, SPANS)
        found = load_seen(connection, [SeriesName(2, "a"), SeriesName(9, "a")], SPANS)
        assert load_seen(connection, [], SPANS) == {}
        assert load_steps(connection, {"a": [2]}, []) == []
    steps = [0, 1, 2, 6, 7, 8, 9, 10, 11]
    assert set(block.workload_ids.tolist()) == {2}
    assert block.at_us.tolist() == [to_us(AT + n * STEP) for n in steps]
    assert found[SeriesName(2, "a")].values.tolist() == [n for n in steps if n % 4]
    assert list(found) == [SeriesName(2, "a")]
