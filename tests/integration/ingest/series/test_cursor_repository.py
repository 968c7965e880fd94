"""Cursors move back to what changed and forward to what is newest."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import Engine, text

from services.ingest.series.cursor_repository import (
    UNSET_US,
    CursorMoves,
    array_text,
    note_samples,
)
from services.ingest.series.samples import to_us
from tests.integration.ingest.conftest import Register
from tests.integration.ingest.pushes import T0

pytestmark = pytest.mark.integration


def cursors(database: Engine) -> list[tuple[object, ...]]:
    statement = "SELECT workload_id, resampled_until, last_sample_at FROM ingest_cursors ORDER BY 1"
    with database.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def move(database: Engine, ids: list[int], reopen_us: list[int], newest_us: list[int]) -> None:
    columns = (np.array(each, dtype=np.int64) for each in (ids, reopen_us, newest_us))
    with database.begin() as connection:
        note_samples(connection, CursorMoves(*columns), T0)


def test_cursors_move_by_what_is_known(database: Engine, register: Register) -> None:
    one, other = register(2)
    at_us, minute, exact = to_us(T0), timedelta(seconds=60), timedelta(microseconds=1)
    move(database, [one, other], [at_us, UNSET_US], [at_us + 1, UNSET_US])
    assert cursors(database) == [(one, T0, T0 + exact), (other, None, None)]
    move(database, [one], [at_us - 60_000_000], [at_us - 5])
    assert cursors(database)[0] == (one, T0 - minute, T0 + exact)
    with database.begin() as connection:
        note_samples(connection, CursorMoves.none({other, one}), T0)
    assert cursors(database)[0] == (one, T0 - minute, T0 + exact)


def test_a_time_that_is_not_set_is_null() -> None:
    assert array_text(np.array([3, UNSET_US, -4])) == "{3,NULL,-4}"
