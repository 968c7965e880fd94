"""Scores of forecasts on a real Postgres, and what calibration learns from them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sqlalchemy import Engine, text

from services.forecasting.deps import make_forecasting
from services.forecasting.forecast import service
from services.forecasting.forecast.service import Forecasting
from services.forecasting.rows import repository
from services.forecasting.rows.translate import level_key
from services.forecasting.score import service as service_score
from services.kernel.clock import FixedClock
from services.kernel.db.turns import DECIDE, Asked, note_done, note_rest_done
from services.kernel.jobs import FORECAST_SCORE, Job, RecordingSender
from services.kernel.settings import Settings
from tests.integration.forecasting.simple_fleet import (
    N_STEPS,
    ORIGIN,
    START,
    STEP,
    STEP_S,
    add_indicators,
    add_workload,
    fill,
    rows_of,
)


@pytest.fixture
def sender() -> RecordingSender:
    return RecordingSender()


@pytest.fixture
def app(database: Engine, settings: Settings, sender: RecordingSender) -> Forecasting:
    small = settings.model_copy(update={"n_paths": 40, "step_s": STEP_S})
    clock = FixedClock(START + N_STEPS * STEP)
    return make_forecasting(small, sender, clock)


def test_what_one_job_cannot_score_is_scored_by_the_next_at_once(
    app: Forecasting, sender: RecordingSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_score, "MAX_DUE", 2)
    fill(app.engine, 3)
    service.forecast_shard(app, 0, ORIGIN - 13 * STEP)
    sender.sent.clear()
    assert service_score.score_forecasts(app) == 2
    assert sender.sent == [Job(FORECAST_SCORE, is_deferred=True)]
    assert service_score.score_forecasts(app) == 1
    assert len(sender.sent) == 1


def test_a_job_scores_less_while_the_others_of_a_shard_wait(
    app: Forecasting, sender: RecordingSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_score, "MAX_DUE_SHED", 1)
    fill(app.engine, 3)
    service.forecast_shard(app, 0, ORIGIN - 13 * STEP)
    waits = Asked(DECIDE, 7, ORIGIN, STEP)
    with app.engine.begin() as connection:
        note_done(connection, waits, is_waiting=True, now=app.clock.now())
    sender.sent.clear()
    assert service_score.score_forecasts(app) == 1
    assert sender.sent == [Job(FORECAST_SCORE, is_deferred=True)]
    with app.engine.begin() as connection:
        note_rest_done(connection, waits, ORIGIN, app.clock.now())
    assert service_score.score_forecasts(app) == 2, "the others at once, now that nobody waits"


def test_scores_follow_when_the_horizon_has_passed_and_calibration_learns(
    app: Forecasting,
) -> None:
    fill(app.engine, 2)
    early = ORIGIN - 13 * STEP
    service.forecast_shard(app, 0, early)
    service.forecast_shard(app, 0, ORIGIN)
    assert service_score.score_forecasts(app) == 2
    assert service_score.score_forecasts(app) == 0
    rows = rows_of(app.engine, "SELECT * FROM forecast_scores")
    assert {r.origin_at for r in rows} == {early}
    for row in rows:
        assert row.n_steps == 12
        assert row.crps > 0
        assert row.skill_vs_last_value == pytest.approx(1 - row.crps / row.crps_last_value)
        assert 0 <= row.coverage["0.99"] <= 1
        assert row.pinball["0.5"] > 0
    with app.engine.begin() as other:
        assert repository.try_lock_scoring(other)
        service.forecast_shard(app, 0, ORIGIN - 12 * STEP)
        assert service_score.score_forecasts(app) == 0
    assert service_score.score_forecasts(app) == 2
    states = rows_of(app.engine, "SELECT state FROM calibration_states")
    assert len(states) == 2
    assert all(r.state["n_seen"] == 24 for r in states)
    assert any(np.abs(np.array(r.state["offsets"])).max() > 0 for r in states)


def test_a_demand_of_zero_that_is_forecast_as_zero_is_covered_as_promised(
    app: Forecasting,
) -> None:
    """In what a forecast's score shows, in console and dashboards, and in what is exported."""
    add_indicators(app.engine, add_workload(app.engine, "idle"), np.zeros(N_STEPS))
    service.forecast_shard(app, 0, ORIGIN - 13 * STEP)
    zeros = "array_fill(0::real, ARRAY[array_length(quantiles, 1), array_length(quantiles, 2)])"
    with app.engine.begin() as connection:
        connection.execute(text(f"UPDATE forecasts SET quantiles = {zeros}"))
    assert service_score.score_forecasts(app) == 1
    (score,) = rows_of(app.engine, "SELECT coverage, crps FROM forecast_scores")
    (row,) = rows_of(app.engine, "SELECT state FROM calibration_states")
    assert score.crps == 0
    levels = row.state["levels"]
    assert [score.coverage[level_key(level)] for level in levels] == pytest.approx(levels)
    assert row.state["below_ratio"] == pytest.approx(levels)


def test_where_no_last_value_was_seen_its_score_is_unknown_and_no_zero(app: Forecasting) -> None:
    fill(app.engine, 1)
    early = ORIGIN - 13 * STEP
    service.forecast_shard(app, 0, early)
    with app.engine.begin() as connection:
        connection.execute(
            text("DELETE FROM indicator_steps WHERE step_at <= :early"), {"early": early}
        )
    assert service_score.score_forecasts(app) == 1
    (row,) = rows_of(app.engine, "SELECT * FROM forecast_scores")
    assert row.n_steps == 12
    assert row.crps > 0
    assert (row.crps_last_value, row.skill_vs_last_value) == (None, None)


def test_where_no_outcome_was_seen_the_score_of_the_last_value_is_unknown(
    app: Forecasting,
) -> None:
    fill(app.engine, 1)
    early = ORIGIN - 13 * STEP
    service.forecast_shard(app, 0, early)
    with app.engine.begin() as connection:
        connection.execute(
            text("DELETE FROM indicator_steps WHERE step_at > :early"), {"early": early}
        )
    assert service_score.score_forecasts(app) == 1
    (row,) = rows_of(app.engine, "SELECT * FROM forecast_scores")
    assert (row.n_steps, row.crps_last_value, row.skill_vs_last_value) == (0, None, None)


def test_a_demand_that_does_not_move_has_a_last_value_without_error(app: Forecasting) -> None:
    add_indicators(app.engine, add_workload(app.engine, "still"), np.full(N_STEPS, 5.0))
    service.forecast_shard(app, 0, ORIGIN - 13 * STEP)
    assert service_score.score_forecasts(app) == 1
    (row,) = rows_of(app.engine, "SELECT * FROM forecast_scores")
    assert (row.crps_last_value, row.skill_vs_last_value) == (0, None)


def test_calibration_moves_the_next_forecast(app: Forecasting) -> None:
    fill(app.engine, 1)
    service.forecast_shard(app, 0, ORIGIN)
    with app.engine.begin() as connection:
        row = connection.execute(text("SELECT * FROM forecasts")).one()
        levels = row.quantile_levels
        state = {
            "levels": levels,
            "offsets": [[0.5] * 3] * len(levels),
            "n_seen": 1,
            "n_below": [0] * len(levels),
        }
        connection.execute(
            text(
                "INSERT INTO calibration_states VALUES (:id, :version, "
                "CAST(:state AS jsonb), now())"
            ),
            {"id": row.workload_id, "version": row.model_version, "state": json.dumps(state)},
        )
        connection.execute(text("DELETE FROM forecasts"))
    service.forecast_shard(app, 0, ORIGIN)
    (moved,) = rows_of(app.engine, "SELECT * FROM forecasts")
    assert (np.array(moved.quantiles) > np.array(row.quantiles)).all()


def test_calibration_learns_nothing_of_a_history_of_a_few_steps(app: Forecasting) -> None:
    fill(app.engine, 1)
    early = ORIGIN - 12 * STEP
    service.forecast_shard(app, 0, early)
    with app.engine.begin() as connection:
        connection.execute(text("UPDATE forecasts SET rung = 'short_history'"))
    assert service_score.score_forecasts(app) == 1
    (row,) = rows_of(app.engine, "SELECT * FROM forecast_scores")
    assert row.n_steps == 12  # it is scored all the same
    (state,) = rows_of(app.engine, "SELECT state FROM calibration_states")
    assert not np.any(state.state["n_seen"])
    (drift,) = rows_of(app.engine, "SELECT state FROM drift_states")
    assert drift.state["pit"]["n_tested"] == 0, "nor does it speak against the model"
