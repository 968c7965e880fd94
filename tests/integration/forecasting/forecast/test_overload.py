"""Forecasts asked for faster than one worker makes them: what is passed over, and who comes first.

Time passes with the work: each forecast takes as long as the test says, and every shard is asked
for at each step. Jobs that are deferred are taken when no other waits, as from the broker.
"""

from __future__ import annotations

from collections import defaultdict, deque
from datetime import datetime
from itertools import pairwise

import pytest
from sqlalchemy import Engine, text

from services.forecasting.deps import make_forecasting
from services.forecasting.forecast import service
from services.kernel.clock import FixedClock
from services.kernel.db.session import unit_of_work
from services.kernel.db.turns import FORECAST, LONGEST_WAIT_STEPS, note_asked
from services.kernel.jobs import DECIDE_SHARD, FORECAST_SHARD, Job, RecordingSender, shard_job
from services.kernel.settings import Settings
from tests.integration.forecasting.simple_fleet import (
    START,
    STEP,
    STEP_S,
    add_indicators,
    add_workload,
    demand,
    rows_of,
)

pytestmark = pytest.mark.integration

N_SHARDS, N_STEPS = 6, 10
CLASSES = ("gold", "silver", "silver", "bronze", "bronze")
FIRST = START + 300 * STEP


class Overload:
    """One worker, its queue, and a clock that goes with its work."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        times_too_much: float,
        n_steps: int = N_STEPS,
        fixed_share: float = 0.0,
    ) -> None:
        """`fixed_share` of a full step's work is for the runs, however few workloads they do."""
        self.n_steps = n_steps
        self.sender = RecordingSender()
        self.clock = FixedClock(FIRST)
        small = settings.model_copy(update={"n_paths": 10, "step_s": STEP_S})
        self.app = make_forecasting(small, self.sender, self.clock)
        self.engine = engine
        self.gold: set[int] = set()
        for shard in range(N_SHARDS):
            for n, name in enumerate(CLASSES):
                workload = add_workload(engine, f"{name}-{n}-{shard}", shard=shard)
                add_indicators(engine, workload, demand(1, 300 + n_steps + 1))
                self._set_class(workload, name)
        self.run_cost_s = fixed_share * times_too_much * STEP_S / N_SHARDS
        rest_s = (1 - fixed_share) * times_too_much * STEP_S
        self.cost_s = rest_s / (len(CLASSES) * N_SHARDS)
        self.queue: deque[Job] = deque()
        self.deferred: deque[Job] = deque()
        self.longest = 0
        self.made_at: dict[tuple[int, datetime], datetime] = {}

    def _set_class(self, workload: int, name: str) -> None:
        if name == "gold":
            self.gold.add(workload)
        with self.engine.begin() as connection:
            connection.execute(
                text(
                    "UPDATE workloads SET spec = spec || jsonb_build_object('sla', "
                    "jsonb_build_object('sla_class', CAST(:name AS text))) WHERE id = :id"
                ),
                {"name": name, "id": workload},
            )

    def finish_each(self) -> None:
        """As workers that finish what is begun: an origin is asked for when nothing else waits."""
        asked, last = -1, FIRST + self.n_steps * STEP
        while self.clock.now() < last:
            newest = (self.clock.now() - FIRST) // STEP
            if newest > asked:
                self._ask(FIRST + (newest - 1) * STEP)
                asked = newest
            while self.queue or self.deferred:
                newest = (self.clock.now() - FIRST) // STEP
                if not self.queue and newest > asked:
                    break
                self._work()
            if newest <= asked:
                left = FIRST + (asked + 1) * STEP - self.clock.now()
                self.clock.advance(max(0.0, left.total_seconds()))

    def run(self) -> None:
        asked = 0
        while asked < self.n_steps:
            while asked < self.n_steps and self.clock.now() >= FIRST + asked * STEP:
                self._ask(FIRST + (asked - 1) * STEP)
                asked += 1
            self.longest = max(self.longest, len(self.queue) + len(self.deferred))
            if not self.queue and not self.deferred:
                self.clock.advance(((FIRST + asked * STEP) - self.clock.now()).total_seconds())
                continue
            self._work()

    def _work(self) -> None:
        job = (self.queue or self.deferred).popleft()
        at, is_rest = datetime.fromisoformat(str(job.payload["at"])), "is_rest" in job.payload
        n_new = service.forecast_shard(
            self.app, int(str(job.payload["shard"])), at, is_rest=is_rest
        )
        self.clock.advance(n_new * self.cost_s + (self.run_cost_s if n_new else 0.0))
        self._take_sent()

    def _ask(self, origin_at: datetime) -> None:
        for shard in range(N_SHARDS):
            with unit_of_work(self.engine) as work:
                note_asked(work.connection, FORECAST, shard, origin_at)
            self.queue.append(shard_job(FORECAST_SHARD, shard, origin_at))

    def _take_sent(self) -> None:
        for job in self.sender.sent:
            if job.name == FORECAST_SHARD:
                assert job.is_deferred
                if job.payload["shard"] not in {one.payload["shard"] for one in self.deferred}:
                    self.deferred.append(job)
        self.sender.sent.clear()

    def passed(self) -> dict[int, list[int]]:
        """By workload, between each two of its forecasts how many origins it was passed over."""
        origins: dict[int, list[datetime]] = defaultdict(list)
        for row in rows_of(
            self.engine, "SELECT workload_id, origin_at FROM forecasts ORDER BY origin_at"
        ):
            origins[row.workload_id].append(row.origin_at)
        return {
            id_: [(b - a) // STEP - 1 for a, b in pairwise(found)] for id_, found in origins.items()
        }


def test_what_fits_is_forecast_at_every_origin(database: Engine, settings: Settings) -> None:
    fleet = Overload(database, settings, 0.9)
    fleet.run()
    assert {n for passed in fleet.passed().values() for n in passed} == {0}
    assert rows_of(database, "SELECT * FROM superseded_origins") == []


@pytest.mark.slow
@pytest.mark.parametrize("times_too_much", [2.0, 2.6])
def test_under_overload_gold_comes_first_and_the_rest_takes_turns(
    database: Engine, settings: Settings, times_too_much: float
) -> None:
    fleet = Overload(database, settings, times_too_much)
    fleet.run()
    passed = fleet.passed()
    gold = {id_: found for id_, found in passed.items() if id_ in fleet.gold}
    rest = {id_: found for id_, found in passed.items() if id_ not in fleet.gold}
    assert len(gold) == N_SHARDS
    assert max(n for found in gold.values() for n in found) <= 1, gold
    n_done = {id_: len(found) + 1 for id_, found in rest.items()}
    assert len(n_done) == 4 * N_SHARDS, "nobody of the rest is left out"
    assert max(n_done.values()) - min(n_done.values()) <= 2, n_done
    assert min(len(found) + 1 for found in gold.values()) > max(n_done.values())
    # the jobs of two origins, and one of each shard for those that wait for their turn
    assert fleet.longest <= 3 * N_SHARDS
    recorded = rows_of(database, "SELECT * FROM superseded_origins ORDER BY origin_at")
    assert {row.stage for row in recorded} == {"forecast"}
    assert all(row.newer_origin_at > row.origin_at and row.reason for row in recorded)


@pytest.mark.slow
def test_gold_comes_first_where_origins_are_never_asked_for(
    database: Engine, settings: Settings
) -> None:
    fleet = Overload(database, settings, 2.0, n_steps=16)
    fleet.finish_each()
    passed = fleet.passed()
    gold = [found for id_, found in passed.items() if id_ in fleet.gold]
    rest = [found for id_, found in passed.items() if id_ not in fleet.gold]
    assert len(gold) == N_SHARDS
    assert max(n for found in gold for n in found) <= 1, gold
    assert sum(n for found in gold for n in found) < sum(rest[0]) * N_SHARDS / 2, (gold, rest)
    assert len(rest) == 4 * N_SHARDS
    assert max(n for found in rest for n in found) <= LONGEST_WAIT_STEPS, rest


@pytest.mark.slow
def test_the_rest_is_not_left_out_where_gold_alone_does_not_fit(
    database: Engine, settings: Settings
) -> None:
    """A run of a few workloads costs half of one of all: the deferred jobs never get a worker."""
    fleet = Overload(database, settings, 2.0, n_steps=24, fixed_share=0.5)
    fleet.run()
    passed = fleet.passed()
    rest = {id_: found for id_, found in passed.items() if id_ not in fleet.gold}
    assert len(rest) == 4 * N_SHARDS
    assert min(len(found) for found in rest.values()) >= 2, rest
    assert max(n for found in rest.values() for n in found) <= LONGEST_WAIT_STEPS + 2, rest
    gold = [len(found) for id_, found in passed.items() if id_ in fleet.gold]
    assert min(gold) > max(len(found) for found in rest.values())


def test_a_sweep_asks_for_those_that_wait_and_not_for_the_urgent_ones_again(
    database: Engine, settings: Settings
) -> None:
    fleet = Overload(database, settings, 1.0)
    service.forecast_shard(fleet.app, 0, FIRST)
    newest = FIRST + 2 * STEP
    fleet.clock.advance(3 * STEP_S)
    assert service.forecast_shard(fleet.app, 0, newest) == 1, "the step between was passed over"
    fleet.sender.sent.clear()
    service.sweep(fleet.app)
    asked = [job for job in fleet.sender.sent if job.payload["shard"] == 0]
    forecasts = [job for job in asked if job.name == FORECAST_SHARD]
    assert [(job.payload["at"], job.is_deferred) for job in forecasts] == [
        (newest.isoformat(), True)
    ]
    assert service.forecast_shard(fleet.app, 0, newest, is_rest=True) == len(CLASSES) - 1


def test_a_late_run_does_the_newest_origin_and_its_own_job_is_nothing_more(
    database: Engine, settings: Settings
) -> None:
    fleet = Overload(database, settings, 1.0)
    for n in range(2):
        with unit_of_work(database) as work:
            note_asked(work.connection, FORECAST, 0, FIRST + n * STEP)
    fleet.clock.advance(2 * STEP_S)
    newest = FIRST + STEP
    assert service.forecast_shard(fleet.app, 0, FIRST, is_rest=True) == len(CLASSES)
    assert {r.origin_at for r in rows_of(database, "SELECT * FROM forecasts")} == {newest}
    assert [job.payload["at"] for job in fleet.sender.sent if job.name == DECIDE_SHARD] == [
        newest.isoformat()
    ]
    assert service.forecast_shard(fleet.app, 0, newest) == 0


def test_an_origin_of_long_ago_is_done_as_it_was_asked(
    database: Engine, settings: Settings
) -> None:
    fleet = Overload(database, settings, 1.0)
    service.forecast_shard(fleet.app, 0, FIRST)
    early = FIRST - 20 * STEP
    assert service.forecast_shard(fleet.app, 0, early) == len(CLASSES)
