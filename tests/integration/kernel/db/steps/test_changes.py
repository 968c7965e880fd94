"""Marks of what was written: also of what no row tells, and never more than are of use."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import Engine, text

from services.kernel.db.steps import changes
from services.kernel.db.steps.kept import KeptSteps
from tests.integration.kernel.db.steps.test_kept import count_read, fill, put, wanted

pytestmark = pytest.mark.integration


def test_a_partition_that_is_dropped_or_a_table_that_is_emptied_is_noted(database: Engine) -> None:
    fill(database)
    kept = KeptSteps()
    assert count_read(database, kept, wanted(0)) == 10
    with database.begin() as connection:
        connection.execute(text("TRUNCATE indicator_steps"))
    with database.begin() as connection:
        assert np.isnan(kept.load(connection, wanted(0))).all()
        changes.note_dropped(connection)
        marks = text("SELECT count(*) FROM indicator_changes WHERE first_at = '-infinity'")
        assert connection.execute(marks).scalar_one() == 4


def test_marks_do_not_pile_up(database: Engine) -> None:
    fill(database)
    kept = KeptSteps()
    with database.begin() as connection:
        for n in range(130):
            put(connection, 1, "a", 0, float(n))
        connection.execute(text("UPDATE indicator_changes SET updated_at = '2026-01-01'"))
    query = text("SELECT count(*) FROM indicator_changes WHERE shard = 0")
    for expected in (1, 1):
        with database.begin() as connection:
            assert kept.load(connection, wanted(0))[0, -1, 0] == 129.0
            assert connection.execute(query).scalar_one() == expected
