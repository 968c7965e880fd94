"""Forecasts of days are scored too."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from services.forecasting.deps import make_forecasting
from services.forecasting.forecast import service
from services.forecasting.score.service import score_forecasts
from services.kernel.clock import FixedClock
from services.kernel.jobs import RecordingSender
from services.kernel.settings import Settings
from tests.integration.forecasting.fitted_fleet import (
    FITTED_AT,
    STEP,
    STEP_S,
    add_demand,
    add_workload,
    demand,
    rows_of,
    small,
)

pytestmark = pytest.mark.integration
HORIZON = 72


@pytest.mark.parametrize(("usual_s", "late"), [(STEP_S, 0), (STEP_S, HORIZON), (60, HORIZON)])
def test_a_forecast_of_three_days_is_scored_when_they_are_over(
    database: Engine, settings: Settings, usual_s: int, late: int
) -> None:
    """Or a horizon later, when its shard asks; also where the worker's own steps are shorter."""
    changes = {"horizon_steps": HORIZON, "context_steps": 96, "has_prior": False}
    changes["step_s"] = usual_s
    clock = FixedClock(FITTED_AT - 19 * STEP)
    long = small(settings).model_copy(update=changes)
    app = make_forecasting(long, RecordingSender(), clock)
    add_demand(database, add_workload(database, "w0"), demand(0))
    assert service.forecast_shard(app, 0, FITTED_AT - 20 * STEP) == 1
    clock.advance((HORIZON + late) * STEP_S)
    assert score_forecasts(app) == 1
    (row,) = rows_of(database, "SELECT n_steps FROM forecast_scores")
    assert row.n_steps == HORIZON


def test_forecasts_of_a_longer_horizon_than_is_set_now_are_scored(
    database: Engine, settings: Settings
) -> None:
    clock = FixedClock(FITTED_AT + STEP)
    before, now = (
        make_forecasting(
            small(settings).model_copy(update={"horizon_steps": horizon, "has_prior": False}),
            RecordingSender(),
            clock,
        )
        for horizon in (24, 12)
    )
    add_demand(database, add_workload(database, "w0"), demand(0))
    assert service.forecast_shard(before, 0, FITTED_AT - 30 * STEP) == 1
    assert score_forecasts(now) == 1
    assert rows_of(database, "SELECT * FROM workload_errors") == []
    (row,) = rows_of(database, "SELECT n_steps FROM forecast_scores")
    assert row.n_steps == 24
