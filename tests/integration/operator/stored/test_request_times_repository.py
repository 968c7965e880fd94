"""The time that one request in a hundred takes at least, from the steps' 95th percentiles."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, insert

from services.kernel.db import schema
from services.kernel.db.session import unit_of_work
from services.operator.stored.request_times_repository import load_request_times
from tests.integration.stored_indicators import store_indicators
from tests.unit.operator.examples import NOW

pytestmark = pytest.mark.integration
STEP = timedelta(minutes=1)
Steps = Sequence[tuple[float | None, float | None]]
"""The 95th percentile in ms and the demand of each step, the newest last; None: a gap."""


def add(engine: Engine, name: str, steps: Steps, latency: str = "latency_p95_ms") -> int:
    spec: dict[str, Any] = {
        "demand": "request_rate_rps",
        "indicators": [{"name": "request_rate_rps"}, {"name": latency}],
    }
    row = {
        "namespace": "serving", "name": name, "shard": 0, "step_s": 60, "spec": spec,
        "created_at": NOW, "updated_at": NOW,
    }  # fmt: skip
    table = schema.workloads
    with unit_of_work(engine) as work:
        insertion = insert(table).values(row).returning(table.c.id)
        id_ = int(work.connection.execute(insertion).scalar_one())
        rows = [
            (id_, indicator, NOW - (len(steps) - n) * STEP, value, value is not None)
            for n, pair in enumerate(steps)
            for indicator, value in zip((latency, "request_rate_rps"), pair, strict=True)
        ]
        store_indicators(work.connection, rows)
    return id_


def times(engine: Engine, *ids: int) -> dict[int, float]:
    with engine.connect() as connection:
        return load_request_times(connection, ids, NOW)


def test_it_is_what_the_slowest_fifth_of_the_requests_stand_in(database: Engine) -> None:
    """Of the requests in steps of at least 30 s, 5 % took 30 s: one in a hundred of all."""
    even = [(1000.0, 10.0)] * 16 + [(30_000.0, 10.0)] * 3 + [(90_000.0, 10.0)]
    fewer = [(1000.0, 10.0)] * 17 + [(30_000.0, 10.0)] * 2 + [(90_000.0, 10.0)]
    first, second = add(database, "a", even), add(database, "b", fewer)
    assert times(database, first, second) == {first: 30.0, second: 1.0}


def test_steps_weigh_by_their_demand(database: Engine) -> None:
    quiet = [(1000.0, 100.0)] * 10 + [(60_000.0, 1.0)] * 10
    busy = [(1000.0, 1.0)] * 19 + [(60_000.0, 100.0)]
    first, second = add(database, "a", quiet), add(database, "b", busy)
    assert times(database, first, second) == {first: 1.0, second: 60.0}


def test_of_too_little_or_too_old_nothing_is_known(database: Engine) -> None:
    nine = add(database, "a", [(5000.0, 1.0)] * 9)
    gaps = add(database, "b", [(5000.0, 1.0)] * 9 + [(None, 1.0), (5000.0, None), (0.0, 1.0)])
    old = add(database, "c", [(5000.0, 1.0)] * 20 + [(None, None)] * 60)
    other = add(database, "d", [(5000.0, 1.0)] * 20, latency="latency_mean_ms")
    ten = add(database, "e", [(5000.0, 1.0)] * 10)
    assert times(database, nine, gaps, old, other, ten) == {ten: 5.0}
    assert times(database) == {}
