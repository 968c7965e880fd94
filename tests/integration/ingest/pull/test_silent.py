"""Services that are silent: scaled to zero, or with a series that the source has no more."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlalchemy import text

from services.ingest import service
from services.ingest.deps import IngestDeps
from services.ingest.pull.past_asked import MOST_AT_ONCE
from services.ingest.pull.service import PullResult, pull_shard
from services.ingest.series.source import BAD_STATUS, Points, RangeQuery, SourceError
from services.kernel.clock import FixedClock
from services.kernel.domain import IndicatorSpec
from services.kernel.settings import Settings
from tests.contract.ingest.prometheus_world import T0, FakeSource
from tests.integration.ingest.conftest import Register, stored_steps

pytestmark = pytest.mark.integration
STEP = timedelta(seconds=60)
LOAD = IndicatorSpec(name="load_rps", level=1, query="sum(load)")
OTHER = IndicatorSpec(name="tokens_per_s", level=1, query="sum(other)")
LATE_STEPS = 10
"""As many steps are asked for at each pull: `late_s`."""
NO_SCRAPES = range(30, 50)


class Going(FakeSource):
    """A series that the source has or has not; other ones are always there."""

    def __init__(self) -> None:
        super().__init__({"sum(other)": lambda at_s: 7.0})
        self.come()

    def come(self, *, up_to_step: int = 1000) -> None:
        until_s = int((T0 + up_to_step * STEP).timestamp())
        nan = float("nan")
        self.expressions["sum(load)"] = lambda at_s: 30.0 if at_s < until_s else nan

    def go(self) -> None:
        del self.expressions["sum(load)"]


class Failing(Going):
    """The past of the series cannot be read."""

    is_failing = False

    def fetch(self, query: RangeQuery) -> Points:
        is_past = query.end_at - query.start_at > LATE_STEPS * STEP
        if self.is_failing and is_past and query.expression == "sum(load)":
            self.asked.append(query)
            raise SourceError(BAD_STATUS, "503")
        return super().fetch(query)


@pytest.fixture
def source(deps: IngestDeps, clock: FixedClock, settings: Settings) -> Failing:
    deps.settings = settings.model_copy(update={"fit_max_steps": 300})
    found = Failing()
    deps.source = found
    clock.advance(60)
    return found


def pull(deps: IngestDeps, clock: FixedClock, n_steps: int = 1) -> PullResult:
    for _ in range(n_steps):
        result = pull_shard(deps, 0, clock.now())
        service.resample_shard(deps, 0, clock.now())
        clock.advance(60)
    return result


def of_the_past(asked: Sequence[RangeQuery]) -> list[str]:
    """What was asked for over more than the newest steps."""
    return [one.expression for one in asked if one.end_at - one.start_at > LATE_STEPS * STEP]


def pasts(source: FakeSource) -> list[str]:
    """What was asked for of the past since this was last looked at."""
    found = of_the_past(source.asked)
    source.asked.clear()
    return found


def lacking(deps: IngestDeps, clock: FixedClock, workload_id: int) -> list[int]:
    """Complete steps since T0 without a value, but for those without any scrape."""
    steps = stored_steps(deps.engine, workload_id, LOAD.name)
    found = {(at - T0) // STEP for at, value in steps if value is not None}
    return sorted(set(range((clock.now() - T0) // STEP - 1)) - found - set(NO_SCRAPES))


def silence(deps: IngestDeps, clock: FixedClock, source: Going) -> None:
    """A series that was there goes, and the pulls after it find nothing."""
    pull(deps, clock)
    source.go()
    clock.advance(60 * 60)
    pull(deps, clock)
    pasts(source)


def test_who_is_silent_is_asked_for_its_past_now_and_then(
    deps: IngestDeps, clock: FixedClock, register: Register, source: Failing
) -> None:
    register(1, (LOAD,))
    silence(deps, clock, source)
    pull(deps, clock, 2 * LATE_STEPS)
    assert len(pasts(source)) == 2


def test_who_never_had_a_sample_is_asked_for_its_past_now_and_then(
    deps: IngestDeps, clock: FixedClock, register: Register, source: Failing
) -> None:
    register(1, (LOAD,))
    source.go()
    for _ in range(3):
        pull_shard(deps, 0, clock.now())
        clock.advance(15)
    assert len(pasts(source)) == 1, "once for all, until a step was closed and after it"


def test_the_silent_come_after_the_newest_steps_of_all_and_a_few_at_once(
    deps: IngestDeps, clock: FixedClock, register: Register, source: Failing
) -> None:
    n_silent = 5 * LATE_STEPS
    register(n_silent, (LOAD,), prefix="silent")
    register(1, (OTHER,), prefix="live")
    silence(deps, clock, source)
    for _ in range(n_silent):
        pull(deps, clock)
        asked = [one for one in source.asked if one.expression == "sum(other)"]
        newest = max(asked, key=lambda one: one.end_at)
        place = source.asked.index(newest)
        assert of_the_past(source.asked[:place]) == []
        assert 0 < len(pasts(source)) <= MOST_AT_ONCE


@pytest.mark.parametrize("n_outage", [0, 30])
def test_who_comes_back_has_the_past_since_in_the_next_pull(
    deps: IngestDeps, clock: FixedClock, register: Register, source: Failing, n_outage: int
) -> None:
    """Also what came while the source could not be asked, or nobody pulled."""
    (workload_id,) = register(1, (LOAD,))
    silence(deps, clock, source)
    pull(deps, clock, 3)
    clock.advance(60 * n_outage)
    source.come()
    pull(deps, clock)
    assert lacking(deps, clock, workload_id), "its newest steps tell that it is back"
    pasts(source)
    pull(deps, clock)
    assert lacking(deps, clock, workload_id) == []
    assert pasts(source) == ["sum(load)"]
    pull(deps, clock, LATE_STEPS)
    assert pasts(source) == [], "once"


def test_a_first_sample_brings_the_past_before_it(
    deps: IngestDeps, clock: FixedClock, register: Register, source: Failing
) -> None:
    (workload_id,) = register(1, (LOAD,))
    source.go()
    pull(deps, clock, 3)
    clock.advance(30 * 60)
    source.come()
    pull(deps, clock, 2)
    assert lacking(deps, clock, workload_id) == []


def test_what_a_source_gets_of_the_past_alone_is_found_while_it_is_silent(
    deps: IngestDeps, clock: FixedClock, register: Register, source: Failing
) -> None:
    (workload_id,) = register(1, (LOAD,))
    silence(deps, clock, source)
    source.come(up_to_step=25)
    pull(deps, clock, LATE_STEPS)
    assert lacking(deps, clock, workload_id)[0] == 25


def test_a_past_that_cannot_be_read_is_asked_for_no_more_often_of_the_silent(
    deps: IngestDeps, clock: FixedClock, register: Register, source: Failing
) -> None:
    (workload_id,) = register(1, (LOAD,))
    silence(deps, clock, source)
    source.is_failing = True
    pull(deps, clock, LATE_STEPS)
    assert len(pasts(source)) == 1
    with deps.engine.connect() as connection:
        assert connection.execute(text("SELECT * FROM workload_errors")).all() == []
    source.come()
    pull(deps, clock, 2)
    assert lacking(deps, clock, workload_id), "and what cannot be read once it is back is told"
    source.is_failing = False
    pull(deps, clock, LATE_STEPS)
    assert lacking(deps, clock, workload_id) == []


def test_one_silent_workload_has_no_shard_pulled_between_its_steps(
    deps: IngestDeps, clock: FixedClock, register: Register, source: Failing
) -> None:
    register(1, (LOAD,), prefix="silent")
    register(1, (OTHER,), prefix="live")
    silence(deps, clock, source)
    pull(deps, clock)
    pulled = []
    for _ in range(4):
        swept = service.sweep(deps, clock.now())
        pulled.append(swept.pulled)
        for shard in swept.pulled:
            pull_shard(deps, shard, clock.now())
        clock.advance(15)
    assert pulled == [(0,), (0,), (), ()], "each step is asked for twice"
