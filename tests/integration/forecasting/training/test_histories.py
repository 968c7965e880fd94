"""Histories to fit on: of which workloads, how long, and what is held out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st
from sqlalchemy import text

from forecaster import ForecasterConfig, Series
from services.forecasting.forecast.service import Forecasting
from services.forecasting.rows.translate import forecaster_config
from services.forecasting.training.histories import held_out_steps, load_fleet, load_histories
from tests.integration.forecasting.simple_fleet import (
    N_STEPS,
    NAMES,
    ORIGIN,
    STEP,
    STEP_S,
    add_indicators,
    add_workload,
    demand,
)

pytestmark = pytest.mark.integration
NOW = ORIGIN + 1.5 * STEP
HORIZON = ForecasterConfig().window.horizon


def load(app: Forecasting) -> list[Series]:
    with app.engine.connect() as connection:
        fleet = load_fleet(connection)
        return load_histories(app, connection, fleet, NOW, forecaster_config(app.settings))


def test_without_workloads_there_is_no_history(app: Forecasting) -> None:
    assert load(app) == []


def test_histories_end_at_the_last_complete_step_and_begin_with_the_first_value(
    app: Forecasting,
) -> None:
    values = demand(0)
    values[:100] = np.nan
    values[300] = np.nan
    add_indicators(app.engine, add_workload(app.engine, "w0"), values)
    (series,) = load(app)
    assert (series.workload, series.indicators, series.step_s) == ("demo/w0", NAMES, STEP_S)
    assert series.n_steps == N_STEPS - 100
    assert series.start_s + (series.n_steps - 1) * STEP_S == ORIGIN.timestamp()
    assert np.flatnonzero(~series.observed[:, 0]).tolist() == [200]
    seen = series.observed[:, 0]
    np.testing.assert_allclose(series.values[seen, 0], values[100:][seen], rtol=1e-6)


def test_only_the_newest_steps_are_read(app: Forecasting) -> None:
    add_indicators(app.engine, add_workload(app.engine, "w0"), demand(0))
    few = replace(app, settings=app.settings.model_copy(update={"fit_max_steps": 200}))
    (series,) = load(few)
    np.testing.assert_allclose(series.values[:, 0], demand(0)[-200:], rtol=1e-6)


def test_workloads_on_rarer_steps_retired_or_too_short_are_left_out(app: Forecasting) -> None:
    for name in ("a", "b", "rare", "short", "retired"):
        n = app.settings.horizon_steps if name == "short" else N_STEPS
        values = np.full(N_STEPS, np.nan)
        values[-n:] = demand(1)[-n:]
        add_indicators(app.engine, add_workload(app.engine, name), values)
    with app.engine.begin() as connection:
        connection.execute(text("UPDATE workloads SET step_s = 300 WHERE name = 'rare'"))
        connection.execute(text("UPDATE workloads SET is_active = false WHERE name = 'retired'"))
    assert [series.workload for series in load(app)] == ["demo/a", "demo/b"]


def test_one_that_cannot_be_read_is_left_out(app: Forecasting) -> None:
    for name in ("a", "spoilt", "z"):
        add_indicators(app.engine, add_workload(app.engine, name), demand(1))
    with app.engine.begin() as connection:
        connection.execute(
            text("UPDATE workloads SET spec = spec - 'target' WHERE name = 'spoilt'")
        )
    assert [series.workload for series in load(app)] == ["demo/a", "demo/z"]


def series_of(n_steps: int) -> Series:
    values = np.ones((n_steps, 1), dtype=np.float32)
    return Series("w", values, np.ones(values.shape, dtype=bool), ("rps",), (1,), 0, 0, 600)


@given(st.lists(st.integers(1, 2000), max_size=4))
def test_the_held_out_steps_follow_the_longest_and_leave_room_for_two_horizons(
    lengths: list[int],
) -> None:
    found = held_out_steps([series_of(n) for n in lengths], ForecasterConfig())
    assert found >= 2 * HORIZON
    if found > 2 * HORIZON:
        assert abs(found - 0.12 * max(lengths)) <= 0.5
    else:
        assert 0.12 * max(lengths, default=0) <= 2 * HORIZON + 0.5
