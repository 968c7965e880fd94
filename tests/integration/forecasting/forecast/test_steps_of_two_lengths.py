"""A shard with services on steps of two lengths: each is forecast at its own origins."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pytest
from sqlalchemy import Engine, text

from services.forecasting.deps import make_forecasting
from services.forecasting.forecast import service
from services.forecasting.forecast.service import Forecasting
from services.forecasting.score.service import score_forecasts
from services.forecasting.training.histories import load_fleet, load_histories
from services.kernel.clock import FixedClock
from services.kernel.db.session import unit_of_work
from services.kernel.db.turns import FORECAST, note_asked
from services.kernel.jobs import DECIDE_SHARD, RecordingSender
from services.kernel.settings import Settings
from tests.integration.forecasting.simple_fleet import (
    N_STEPS,
    NAMES,
    START,
    STEP,
    STEP_S,
    add_indicators,
    add_workload,
    demand,
    rows_of,
)
from tests.integration.stored_indicators import store_indicators

pytestmark = pytest.mark.integration

HALF = STEP / 2
LAST = START + N_STEPS * STEP
"""When the last step of the history ends."""


@dataclass
class TwoLengths:
    """A service on steps of 600 s and one on steps of 300 s, in one shard."""

    engine: Engine
    settings: Settings

    def __post_init__(self) -> None:
        self.long = add_workload(self.engine, "long")
        add_indicators(self.engine, self.long, demand(1))
        self.short = add_workload(self.engine, "short")
        self.execute("UPDATE workloads SET step_s = :s WHERE id = :id", s=300, id=self.short)
        self.store(self.short, START, HALF, np.repeat(demand(2), 2))
        self.sender = RecordingSender()

    def execute(self, statement: str, **values: object) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(statement), values)

    def store(self, id_: int, first: datetime, step: timedelta, values: np.ndarray) -> None:
        rows = [(id_, NAMES[0], first + t * step, float(v), True) for t, v in enumerate(values)]
        with self.engine.begin() as connection:
            store_indicators(connection, rows)

    def app(self, now: datetime) -> Forecasting:
        settings = self.settings.model_copy(update={"n_paths": 20, "step_s": STEP_S})
        return make_forecasting(settings, self.sender, FixedClock(now))

    def forecast(self, now: datetime, *origins: datetime) -> None:
        """As resampling asks for them: all are noted before the first one is done."""
        app = self.app(now)
        with unit_of_work(self.engine) as work:
            for origin_at in origins:
                note_asked(work.connection, FORECAST, 0, origin_at)
        for origin_at in origins:
            service.forecast_shard(app, 0, origin_at)

    def forecasts(self, workload: int) -> list[tuple[int, str]]:
        """Origins, in steps of 300 s before the last end, and what answered."""
        query = f"SELECT * FROM forecasts WHERE workload_id = {workload} ORDER BY origin_at"
        return [((r.origin_at - LAST) // HALF, r.rung) for r in rows_of(self.engine, query)]


@pytest.fixture
def fleet(database: Engine, settings: Settings) -> TwoLengths:
    return TwoLengths(database, settings)


def test_each_is_forecast_at_the_origins_of_its_own_steps(fleet: TwoLengths) -> None:
    fleet.forecast(LAST, LAST - STEP, LAST - HALF)
    fleet.store(fleet.short, LAST, HALF, np.array([100.0]))
    fleet.forecast(LAST + HALF, LAST)
    fleet.store(fleet.short, LAST + HALF, HALF, np.array([100.0]))
    fleet.store(fleet.long, LAST, STEP, np.array([100.0]))
    fleet.forecast(LAST + STEP, LAST, LAST + HALF)
    assert fleet.forecasts(fleet.long) == [(-2, "prior"), (0, "prior")]
    assert fleet.forecasts(fleet.short) == [(-1, "prior"), (0, "prior"), (1, "prior")]


def test_the_longer_step_waits_until_it_is_stored(fleet: TwoLengths) -> None:
    """The shorter one that began with it is asked for late, after the longer one has ended."""
    fleet.store(fleet.short, LAST, HALF, np.array([100.0]))
    fleet.forecast(LAST + STEP, LAST)
    assert fleet.forecasts(fleet.long) == []
    fleet.store(fleet.long, LAST, STEP, np.array([100.0]))
    fleet.forecast(LAST + STEP, LAST)
    assert fleet.forecasts(fleet.long) == [(0, "prior")]


def test_the_newest_origin_of_each_is_sent_again_once_it_is_lost(fleet: TwoLengths) -> None:
    app = fleet.app(LAST + timedelta(seconds=5))
    assert service.sweep(app) == 2
    sent = [datetime.fromisoformat(str(job.payload["at"])) for job in fleet.sender.sent]
    assert sent == [LAST - STEP, LAST - HALF]
    for origin_at in sent:
        service.forecast_shard(app, 0, origin_at)
    assert fleet.forecasts(fleet.long) == [(-2, "prior")]
    assert fleet.forecasts(fleet.short) == [(-1, "prior")]
    fleet.sender.sent.clear()
    assert service.sweep(app) == 2, "their decisions"
    assert {job.name for job in fleet.sender.sent} == {DECIDE_SHARD}


@pytest.mark.parametrize("step_s", [200, 300, 1200])
def test_after_a_change_of_the_length_of_steps_the_past_is_still_read(
    fleet: TwoLengths, step_s: int
) -> None:
    """What is on the old grid alone is passed over or counts as the step nearest to it."""
    step, app = timedelta(seconds=step_s), fleet.app(LAST)
    fleet.execute("DELETE FROM workloads WHERE id = :id", id=fleet.short)
    service.forecast_shard(app, 0, LAST - 20 * STEP)
    fleet.execute("UPDATE workloads SET step_s = :s", s=step_s)
    assert service.forecast_shard(app, 0, LAST - STEP - timedelta(seconds=100)) == 0, "off its grid"
    fleet.store(fleet.long, LAST, step, np.full(3, 100.0))
    fleet.forecast(LAST + 3 * step, LAST + 2 * step)
    assert score_forecasts(app) == 1
    newest = rows_of(fleet.engine, "SELECT * FROM forecasts ORDER BY origin_at DESC LIMIT 1")[0]
    assert (newest.step_s, newest.rung) == (step_s, "prior")
    with fleet.engine.connect() as connection:
        now = LAST + 3 * step
        config, workloads = app.store.current(connection).config, load_fleet(connection)
        (series,) = load_histories(app, connection, workloads, now, config)
    assert (series.step_s, int(series.observed.sum())) >= (step_s, 3)
