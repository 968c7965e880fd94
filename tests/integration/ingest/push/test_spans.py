"""Spans of series, written as their samples arrive: of each only its own steps."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.ingest.deps import IngestDeps
from services.ingest.push.spans import SeriesSpan, write_spans
from services.ingest.series import repository
from services.ingest.series.samples import SECOND_US, to_us
from services.kernel.clock import FixedClock
from services.kernel.db.session import unit_of_work
from tests.integration.ingest.conftest import Register, stored_steps
from tests.integration.ingest.objective_counts import PUSHED, TOTAL, WAITING, push_count
from tests.integration.ingest.pushes import T0

pytestmark = pytest.mark.integration
STEP = timedelta(seconds=60)
MINUTE_US = 60 * SECOND_US


def write(deps: IngestDeps, *spans: tuple[str, int, int]) -> int:
    """Write (name, first step, end step) spans of the first workload again."""
    with unit_of_work(deps.engine) as work:
        (ref,) = repository.load_workloads(work.connection, [1], deps.catalog).values()
        start_us = to_us(T0)
        found = [
            SeriesSpan(
                ref, ref.indicators[name], start_us + first * MINUTE_US, start_us + end * MINUTE_US
            )
            for name, first, end in spans
        ]
        return write_spans(work.connection, found)


def test_a_span_reads_the_readings_at_both_its_ends(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    register(objective=PUSHED)
    clock.advance(240)
    push_count(deps, TOTAL, (-5, 0.0), (55, 60.0), (115, 180.0), (180, 180.0))
    push_count(deps, WAITING, (30, 7.0), (150, 9.0))
    before = stored_steps(deps.engine, 1, TOTAL)
    assert [at for at, _ in before] == [T0, T0 + STEP, T0 + 2 * STEP]
    assert write(deps, (TOTAL, 1, 2), (WAITING, 0, 3)) == 0  # all of it is known
    assert stored_steps(deps.engine, 1, TOTAL) == before
    assert stored_steps(deps.engine, 1, WAITING) == [(T0, 7.0), (T0 + 2 * STEP, 9.0)]


def test_nothing_observed_is_nothing_written(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    register(objective=PUSHED)
    clock.advance(240)
    assert write(deps) == 0
    assert write(deps, (TOTAL, 0, 4)) == 0
    push_count(deps, TOTAL, (30, 5.0))  # one reading says nothing yet
    assert stored_steps(deps.engine, 1, TOTAL) == []
