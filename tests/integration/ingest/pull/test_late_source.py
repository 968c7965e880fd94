"""A source that samples reach some seconds late, as remote write into a store does."""

from __future__ import annotations

import re

import numpy as np
import pytest
from sqlalchemy import text

from services.ingest import service
from services.ingest.deps import IngestDeps
from services.ingest.pull.service import pull_shard
from services.ingest.series.pod_rates import series_rates
from services.ingest.series.resample import StepGrid
from services.ingest.series.samples import SECOND_US, make_samples
from services.ingest.series.source import LabelledPoints, Points, RangeQuery
from services.kernel import jobs
from services.kernel.clock import FixedClock
from services.kernel.domain import IndicatorSpec
from services.kernel.jobs import RecordingSender
from services.kernel.settings import Settings
from tests.integration.ingest.conftest import Register, stored_steps

pytestmark = pytest.mark.integration
STEP_S, SCRAPE_S, PULL_S = 60, 15, 15
LOAD = IndicatorSpec(name="load_rps", level=1, query="sum(rate(x[$step]))")
PUSHED = IndicatorSpec(name="pushed_rps", level=1)


class LateSamples:
    """A counter that rises by 100 per second, scraped every 15 s, its samples `late_s` late."""

    name = "prometheus"

    def __init__(self, clock: FixedClock, late_s: float) -> None:
        self.clock, self.late_s = clock, late_s

    def fetch(self, query: RangeQuery) -> Points:
        there_s = self.clock.now().timestamp() - self.late_s
        found: list[tuple[int, float]] = []
        for end_s in np.arange(
            query.start_at.timestamp(), query.end_at.timestamp() + 1, query.resolution_s
        ):
            first_s = end_s - STEP_S
            at_s = np.arange(first_s + 7, end_s + 1, SCRAPE_S)
            at_s = at_s[at_s <= there_s]
            if at_s.size >= 2:
                at_us = (at_s * SECOND_US).astype(np.int64)
                samples = make_samples(np.zeros(at_s.size), at_us, 100.0 * at_s)
                grid = StepGrid(int(first_s * SECOND_US), STEP_S * SECOND_US, 1)
                found.append((int(end_s * SECOND_US), float(series_rates(samples, 1, grid)[0, 0])))
        at, values = [one for one, _ in found], [one for _, one in found]
        return Points(np.array(at, dtype=np.int64), np.array(values))

    def fetch_series(self, query: RangeQuery) -> list[LabelledPoints]:
        return []

    def close(self) -> None:
        pass


def told(deps: IngestDeps) -> list[str]:
    statement = text("SELECT message FROM workload_errors WHERE stage = 'late'")
    with deps.engine.connect() as connection:
        return list(connection.execute(statement).scalars())


def seen_by_forecasts(
    deps: IngestDeps, clock: FixedClock, workload_id: int, n_steps: int
) -> list[float | None]:
    """The newest step of each origin, as it is when its forecast is asked for."""
    values: list[float | None] = []
    for _ in range(n_steps * STEP_S // PULL_S):
        if service.sweep(deps, clock.now()).pulled:
            pull_shard(deps, 0, clock.now())
        for origin_at in service.resample_shard(deps, 0, clock.now()).origins:
            steps = dict(stored_steps(deps.engine, workload_id, "load_rps"))
            values.append(steps.get(origin_at))
        clock.advance(PULL_S)
    return values


@pytest.fixture
def ready(deps: IngestDeps, clock: FixedClock, settings: Settings) -> IngestDeps:
    deps.settings = settings.model_copy(update={"fit_max_steps": 60})
    clock.advance(3)
    return deps


@pytest.mark.slow
@pytest.mark.parametrize("late_s", [15, 30, 60])
def test_a_late_source_is_measured_and_named_until_the_setting_says_it(
    ready: IngestDeps, clock: FixedClock, register: Register, late_s: int
) -> None:
    ready.source = LateSamples(clock, late_s)
    (workload_id,) = register(1, (LOAD,))
    values = seen_by_forecasts(ready, clock, workload_id, 22)
    assert max(value or 0.0 for value in values[3:]) < 80.0, "it reads the first answers"
    (message,) = told(ready)
    assert "load_rps: the newest step reads " in message
    found = re.search(r"HARMONY_SOURCE_LATE_S\) to (\d+)", message)
    assert found is not None
    assert late_s - 8 <= int(found[1]) <= late_s + STEP_S
    ready.settings = ready.settings.model_copy(update={"source_late_s": float(found[1])})
    ready.lateness = type(ready.lateness)()  # a process that begins
    values = seen_by_forecasts(ready, clock, workload_id, 22)
    assert len(values) >= 20
    assert values[1:] == pytest.approx([100.0] * (len(values) - 1))
    assert told(ready) == []


def test_a_source_in_time_is_not_named(
    ready: IngestDeps, clock: FixedClock, register: Register
) -> None:
    ready.source = LateSamples(clock, 0)
    (workload_id,) = register(1, (LOAD,))
    values = seen_by_forecasts(ready, clock, workload_id, 20)
    assert values[1:] == pytest.approx([100.0] * (len(values) - 1))
    assert told(ready) == []


def test_what_is_pushed_beside_does_not_close_a_step_before_its_load_can_be_pulled(
    ready: IngestDeps, clock: FixedClock, register: Register, sender: RecordingSender
) -> None:
    ready.source = LateSamples(clock, 15)
    ready.settings = ready.settings.model_copy(update={"source_late_s": 20.0})
    (workload_id,) = register(1, (LOAD, PUSHED))
    seen_by_forecasts(ready, clock, workload_id, 3)
    statement = text("UPDATE ingest_cursors SET last_sample_at = :at")  # as a push leaves it
    with ready.engine.begin() as connection:
        connection.execute(statement, {"at": clock.now()})
    sender.sent.clear()
    found = service.sweep(ready, clock.now())
    assert (found.resampled, found.pulled) == ((), ())
    assert service.resample_shard(ready, 0, clock.now()).origins == ()
    clock.advance(20)
    found = service.sweep(ready, clock.now())
    assert (found.resampled, found.pulled) == ((0,), (0,))
    assert jobs.INGEST_PULL in [job.name for job in sender.sent]
    pull_shard(ready, 0, clock.now())
    (origin_at,) = service.resample_shard(ready, 0, clock.now()).origins
    assert dict(stored_steps(ready.engine, workload_id, "load_rps"))[origin_at] == pytest.approx(
        100
    )
