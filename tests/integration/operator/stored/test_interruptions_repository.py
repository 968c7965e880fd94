"""The rows of `gpu_interruptions`."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Engine

from services.kernel.db.session import unit_of_work
from services.operator.plan.interruptions import SpotCount
from services.operator.stored.interruptions_repository import load_counts, store_counts
from tests.unit.operator.examples import NOW

pytestmark = pytest.mark.integration

COUNT = SpotCount(1.5, 30.25, frozenset({"u2", "u1"}), NOW)


def test_counts_come_back_as_they_were(database: Engine) -> None:
    with unit_of_work(database) as work:
        store_counts(work.connection, {})
        assert load_counts(work.connection) == {}
        store_counts(work.connection, {"H100": COUNT, "L4": replace(COUNT, noticed=frozenset())})
    with unit_of_work(database) as work:
        assert load_counts(work.connection)["H100"] == COUNT
        store_counts(work.connection, {"H100": replace(COUNT, interruptions=2.0)})
    with unit_of_work(database) as work:
        found = load_counts(work.connection)
    assert (found["H100"].interruptions, found["L4"].noticed) == (2.0, frozenset())
