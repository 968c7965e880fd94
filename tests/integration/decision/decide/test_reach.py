"""A service whose starts outlast its forecast is decided for the time that they land in."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import Engine, text

from services.decision.decide import service
from services.decision.decide.replay import replay
from services.decision.wiring import DecisionDeps
from services.operator.reconcile.report_statuses import to_details
from services.operator.reconcile.repository import load_details
from tests.integration.decision.stored_rows import (
    LEVELS,
    ORIGIN,
    STEP_S,
    add_demand,
    add_forecast,
    add_state,
    add_workload,
    decisions,
)

pytestmark = pytest.mark.integration
HORIZON, LEAD_STEPS = 6, 24
RISE = 43.0 / 19.0
"""A replica carries 10: 200 at the end of the forecast, 243 in the step that a start lands in."""


def ramp(first: int, n: int) -> np.ndarray:
    return 200.0 + RISE * (np.arange(first, first + n) - (HORIZON - 1))


def rising(engine: Engine, n_history: int) -> int:
    """A workload that rises steadily, and starts that take two hours."""
    lead_time = {"median_s": LEAD_STEPS * STEP_S, "sigma": 0.02}
    workload = add_workload(engine, "w", lead_time=lead_time)
    add_demand(engine, workload, list(ramp(-n_history, n_history)))
    add_state(engine, workload, 18, at=ORIGIN)
    add_forecast(engine, workload, 200.0)
    paths = np.tile(ramp(0, HORIZON), (100, 1))
    changes = {
        "paths": (paths / 200.0).astype(np.float16).tobytes(),
        "quantiles": np.tile(ramp(0, HORIZON), (len(LEVELS), 1)).tolist(),
    }
    statement = "UPDATE forecasts SET path_scale = 200, paths = :paths, quantiles = :quantiles"
    with engine.begin() as connection:
        connection.execute(text(statement), changes)
    return workload


def test_a_ramp_is_met_two_hours_ahead_and_the_decision_says_how_far_it_looked(
    deps: DecisionDeps,
) -> None:
    workload = rising(deps.engine, 72)
    service.decide_shard(deps, 0, ORIGIN)
    (decision,) = decisions(deps.engine)
    assert decision["raw_replicas"] == pytest.approx(24.3, rel=0.05)
    explanation = service.explain(deps, decision["id"])
    assert explanation["reach"] == {"steps": 30, "forecast_steps": 6, "wanted_steps": 28}
    assert "looks 30 steps ahead, 6 of them forecast" in explanation["summary"]
    assert replay(deps, decision["id"]).is_identical
    with deps.engine.connect() as connection:
        (row,) = load_details(connection, [workload])
    details = to_details(row)
    assert (details.horizon_s, details.reach_s, details.wanted_s) == (
        6 * STEP_S,
        30 * STEP_S,
        28 * STEP_S,
    )


def test_without_history_the_forecast_is_all_there_is_and_that_is_told(deps: DecisionDeps) -> None:
    rising(deps.engine, 6)
    service.decide_shard(deps, 0, ORIGIN)
    (decision,) = decisions(deps.engine)
    assert decision["raw_replicas"] == 20
    explanation = service.explain(deps, decision["id"])
    assert explanation["reach"] == {"steps": 6, "forecast_steps": 6, "wanted_steps": 28}
    assert "where starts may take 28" in explanation["summary"]
    assert replay(deps, decision["id"]).is_identical
