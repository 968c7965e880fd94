"""Calibration of further loads in service: learned from scores, read by the next forecasts."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import Engine, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from services.forecasting.deps import make_forecasting
from services.forecasting.forecast import service
from services.forecasting.forecast.service import Forecasting
from services.forecasting.online.further import FURTHER
from services.forecasting.rows.further import unpack_further
from services.forecasting.score import service as service_score
from services.kernel.clock import FixedClock
from services.kernel.jobs import RecordingSender
from services.kernel.settings import Settings
from tests.integration.forecasting.simple_fleet import (
    N_STEPS,
    NAMES,
    ORIGIN,
    START,
    STEP,
    STEP_S,
    add_indicators,
    add_workload,
    demand,
    rows_of,
)

LOADS = NAMES[1:]
STATES = "SELECT state FROM calibration_states ORDER BY workload_id"


@pytest.fixture
def app(database: Engine, settings: Settings) -> Forecasting:
    small = settings.model_copy(update={"n_paths": 40, "step_s": STEP_S})
    return make_forecasting(small, RecordingSender(), FixedClock(START + N_STEPS * STEP))


def add(app: Forecasting, name: str, further: tuple[str, ...] = LOADS) -> int:
    workload_id = add_workload(app.engine, name, further=further)
    add_indicators(app.engine, workload_id, demand(1))
    return workload_id


def newest(app: Forecasting) -> np.ndarray:
    service.forecast_shard(app, 0, ORIGIN)
    row = rows_of(app.engine, "SELECT * FROM forecasts ORDER BY origin_at DESC LIMIT 1")[0]
    return unpack_further(row.further_paths, row.further_scales, row.n_paths, row.n_horizon)


def test_scores_teach_the_further_loads_and_leave_the_demand_as_it_is(app: Forecasting) -> None:
    loaded = add(app, "chat")
    for k in (14, 13, 12):
        service.forecast_shard(app, 0, ORIGIN - k * STEP)
    assert service_score.score_forecasts(app) == 3
    (row,) = rows_of(app.engine, STATES)
    further = row.state.pop(FURTHER)
    assert set(further) == set(LOADS)
    assert [further[name]["n_seen"] for name in LOADS] == [36, 36]
    assert all(np.abs(np.array(further[name]["offsets"])).max() > 0 for name in LOADS)

    with app.engine.begin() as connection:
        for table in ("forecasts", "forecast_scores", "calibration_states", "drift_states"):
            connection.execute(text(f"DELETE FROM {table}"))
        change = "UPDATE workloads SET spec = spec #- '{capacity,also_bound_by}' WHERE id = :id"
        connection.execute(text(change), {"id": loaded})
    for k in (14, 13, 12):
        service.forecast_shard(app, 0, ORIGIN - k * STEP)
    service_score.score_forecasts(app)
    (alone,) = rows_of(app.engine, STATES)
    assert alone.state == row.state


def test_a_history_of_a_few_steps_teaches_the_further_loads_nothing(app: Forecasting) -> None:
    add(app, "chat")
    service.forecast_shard(app, 0, ORIGIN - 12 * STEP)
    with app.engine.begin() as connection:
        connection.execute(text("UPDATE forecasts SET rung = 'short_history'"))
    assert service_score.score_forecasts(app) == 1
    (row,) = rows_of(app.engine, STATES)
    assert [row.state[FURTHER][name]["n_seen"] for name in LOADS] == [0, 0]


def test_what_was_learned_moves_the_next_paths_of_that_load_only(app: Forecasting) -> None:
    add(app, "chat")
    service.forecast_shard(app, 0, ORIGIN - 12 * STEP)
    service_score.score_forecasts(app)
    with app.engine.begin() as connection:
        connection.execute(text(f"UPDATE calibration_states SET state = state - '{FURTHER}'"))
    raw = newest(app)
    (row,) = rows_of(app.engine, STATES)
    state = row.state | {"offsets": [[0.5] * 3] * len(row.state["levels"])}
    with app.engine.begin() as connection:
        connection.execute(text("DELETE FROM forecasts"))
        statement = text("UPDATE calibration_states SET state = :state").bindparams(
            bindparam("state", type_=JSONB)
        )
        connection.execute(statement, {"state": row.state | {FURTHER: {LOADS[1]: state}}})
    moved = newest(app)
    assert np.array_equal(moved[0], raw[0])
    assert (moved[1] > raw[1]).all()


def test_a_load_that_is_silent_for_a_while_keeps_what_it_learned(app: Forecasting) -> None:
    workload_id = add(app, "chat")
    service.forecast_shard(app, 0, ORIGIN - 13 * STEP)
    service_score.score_forecasts(app)
    (before,) = rows_of(app.engine, STATES)
    gone = "UPDATE indicators SET is_observed = false WHERE workload_id = :id AND indicator = :name"
    with app.engine.begin() as connection:
        connection.execute(text(gone), {"id": workload_id, "name": LOADS[0]})
    service.forecast_shard(app, 0, ORIGIN - 12 * STEP)
    assert service_score.score_forecasts(app) == 1
    (after,) = rows_of(app.engine, STATES)
    assert after.state["n_seen"] == before.state["n_seen"] + 12
    assert after.state[FURTHER] == before.state[FURTHER]
