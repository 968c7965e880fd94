"""How long steps were, from nothing but when they began."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP

from services.admin.rest.steps_repository import LONGEST, STEP_GAPS, STEP_LENGTH

pytestmark = pytest.mark.integration

AT = datetime(2026, 1, 6, 12, tzinfo=UTC)
LENGTHS = f"""
SELECT extract(epoch FROM {STEP_LENGTH})::int FROM (
    SELECT step_at, {STEP_GAPS} FROM unnest(:steps) step_at WINDOW own AS (ORDER BY step_at)
) steps CROSS JOIN (SELECT :step_s AS step_s) w ORDER BY step_at
"""  # our own SQL


def lengths(engine: Engine, starts_s: Sequence[int], step_s: int) -> list[int]:
    """Lengths of steps that began so many seconds after `AT`, where steps are `step_s` now."""
    steps = [AT + timedelta(seconds=start) for start in starts_s]
    statement = text(LENGTHS).bindparams(bindparam("steps", type_=ARRAY(TIMESTAMP(timezone=True))))
    given = {"steps": steps, "step_s": step_s, "longest": LONGEST}
    with engine.connect() as connection:
        return list(connection.execute(statement, given).scalars())


def test_a_step_ends_where_the_next_begins_whatever_its_length_is_now(database: Engine) -> None:
    for now_s in (60, 300, 900):
        assert lengths(database, [0, 300, 600, 660, 720], now_s) == [300, 300, 60, 60, 60]
        assert lengths(database, [0, 60, 120, 420, 720], now_s)[:4] == [60, 60, 300, 300]


def test_one_that_is_missing_makes_none_longer(database: Engine) -> None:
    assert lengths(database, [0, 60, 120, 240, 300, 360], 60) == [60] * 6
    assert lengths(database, [0, 300, 600, 7200, 7500, 7800], 60) == [300] * 6


def test_a_step_alone_is_as_long_as_steps_are_now(database: Engine) -> None:
    assert lengths(database, [0], 300) == [300]
    assert lengths(database, [0, 10 * 3600], 300) == [300, 300]
