"""One workload whose spec cannot be read keeps no other from its forecast or its scores."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlalchemy import Engine, text

from services.forecasting.deps import make_forecasting
from services.forecasting.forecast import service
from services.forecasting.forecast.service import Forecasting
from services.forecasting.score.service import score_forecasts
from services.kernel.clock import FixedClock
from services.kernel.jobs import RecordingSender
from services.kernel.settings import Settings
from tests.integration.forecasting.simple_fleet import (
    N_STEPS,
    ORIGIN,
    START,
    STEP,
    STEP_S,
    demand,
    fill,
    rows_of,
)
from tests.integration.stored_indicators import store_indicators


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(START + N_STEPS * STEP)


@pytest.fixture
def app(database: Engine, settings: Settings, clock: FixedClock) -> Forecasting:
    small = settings.model_copy(update={"n_paths": 40, "step_s": STEP_S})
    return make_forecasting(small, RecordingSender(), clock)


def _write_spec(engine: Engine, workload: int, demand_name: object) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE workloads SET spec = jsonb_set(spec, '{demand}', :name) WHERE id = :id"),
            {"name": f'"{demand_name}"', "id": workload},
        )


def test_a_workload_that_cannot_be_read_gets_a_row_with_the_reason(app: Forecasting) -> None:
    good, bad, last = fill(app.engine)
    _write_spec(app.engine, bad, "no_such_indicator")

    service.forecast_shard(app, 0, ORIGIN)

    rows = {r.workload_id: r for r in rows_of(app.engine, "SELECT * FROM forecasts")}
    assert {key: row.rung == "none" for key, row in rows.items()} == {
        good: False,
        bad: True,
        last: False,
    }
    assert "no_such_indicator" in rows[bad].reason or "ValidationError" in rows[bad].reason
    faults = rows_of(app.engine, "SELECT workload_id, stage FROM workload_errors")
    assert [tuple(row) for row in faults] == [(bad, "forecast")]


def test_who_is_well_again_is_forgotten(app: Forecasting) -> None:
    _, bad, _ = fill(app.engine)
    _write_spec(app.engine, bad, "no_such_indicator")
    service.forecast_shard(app, 0, ORIGIN - STEP)
    _write_spec(app.engine, bad, "request_rate_rps")
    service.forecast_shard(app, 0, ORIGIN)
    assert rows_of(app.engine, "SELECT * FROM workload_errors") == []


def test_the_others_are_scored(app: Forecasting, clock: FixedClock) -> None:
    good, bad, last = fill(app.engine)
    service.forecast_shard(app, 0, ORIGIN)
    for at, workload in enumerate((good, bad, last)):
        tail = demand(at, N_STEPS + 40)[N_STEPS:]
        _add_tail(app.engine, workload, tail)
    clock.advance(40 * STEP_S)
    _write_spec(app.engine, bad, "no_such_indicator")

    assert score_forecasts(app) == 2

    rows = rows_of(app.engine, "SELECT workload_id, n_steps FROM forecast_scores")
    assert {row.workload_id: row.n_steps > 0 for row in rows} == {
        good: True,
        bad: False,
        last: True,
    }
    assert score_forecasts(app) == 0


def _add_tail(engine: Engine, workload: int, values: Sequence[float]) -> None:
    first_at = START + timedelta(seconds=STEP_S * N_STEPS)
    rows = [
        (workload, "request_rate_rps", first_at + at * STEP, float(value), True)
        for at, value in enumerate(values)
    ]
    with engine.begin() as connection:
        store_indicators(connection, rows)
