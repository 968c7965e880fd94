"""Ledgers on a real Postgres: they hold what is within the window, whatever is missing in it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from services.decision.decide import service
from services.decision.wiring import DecisionDeps
from services.kernel.clock import FixedClock
from tests.integration.decision.measured_rows import add_counts, promise, risk_state
from tests.integration.decision.stored_rows import (
    ORIGIN,
    STEP,
    STEP_S,
    add_demand,
    add_forecast,
    add_state,
    add_workload,
)

pytestmark = pytest.mark.integration

N_WINDOW = 10
WINDOW = {"epsilon": 0.05, "window_s": N_WINDOW * STEP_S}


def started(deps: DecisionDeps, **sla: Any) -> int:
    """A workload whose window is full of steps that broke the promise."""
    workload = add_workload(deps.engine, "w", sla=WINDOW | sla)
    add_demand(deps.engine, workload, [95.0] * N_WINDOW)
    for back in range(N_WINDOW - 1, -1, -2):
        add_state(deps.engine, workload, 5, at=ORIGIN - back * STEP)
    decide(deps, workload, 0)
    return workload


def decide(deps: DecisionDeps, workload: int, n: int) -> dict[str, Any]:
    """Decide so many steps later; returns the memory."""
    at = ORIGIN + n * STEP
    if n:
        add_state(deps.engine, workload, 12, at=at)
    add_forecast(deps.engine, workload, 100.0, forecast_id=n + 1, origin_at=at)
    later = replace(deps, clock=FixedClock(at + STEP))
    service.decide_shard(later, 0, at, is_rest=True)
    return risk_state(deps.engine)


def test_steps_of_unknown_demand_are_time_that_passes(deps: DecisionDeps) -> None:
    """Seven steps of which nothing was known push as many out of the window as known ones do."""
    workload = started(deps)
    full = risk_state(deps.engine)
    assert (full["spent_steps"], full["observed_steps"]) == (10.0, 10.0)
    add_demand(deps.engine, workload, [95.0], last=ORIGIN + 7 * STEP)
    state = decide(deps, workload, 7)
    assert state["observed_steps"] == pytest.approx(4.0)
    assert state["spent_steps"] == pytest.approx(3.0)
    assert state["believed_ratio"] == pytest.approx(3 / 4)
    assert state["believed_until_s"] == (ORIGIN + 8 * STEP).timestamp()
    assert state["believed_since_s"] == (ORIGIN - 2 * STEP).timestamp()


def test_without_missing_steps_a_ledger_forgets_one_step_for_each(deps: DecisionDeps) -> None:
    workload = started(deps)
    for n in range(1, 4):
        add_demand(deps.engine, workload, [95.0], last=ORIGIN + n * STEP)
        state = decide(deps, workload, n)
    assert state["observed_steps"] == pytest.approx(10.0)
    assert state["spent_steps"] == pytest.approx(10 * 0.9**3)


def test_a_window_in_which_nothing_was_known_leaves_nothing(deps: DecisionDeps) -> None:
    """No step has to come for it: what is longer ago than the window is not in it."""
    workload = started(deps)
    state = decide(deps, workload, 4)
    assert (state["observed_steps"], state["spent_steps"]) == pytest.approx((6.0, 6.0))
    state = decide(deps, workload, N_WINDOW + 1)
    assert (state["observed_steps"], state["spent_steps"]) == (0.0, 0.0)
    assert (state["budget_left_ratio"], state["believed_ratio"]) == (1.0, None)


def test_an_outage_is_one_after_a_window_in_which_nothing_was_known_too(
    deps: DecisionDeps,
) -> None:
    """It has served: no replica is not one that it never had."""
    workload = started(deps)
    decide(deps, workload, N_WINDOW + 1)
    later = N_WINDOW + 40
    add_demand(deps.engine, workload, [95.0], last=ORIGIN + later * STEP)
    with deps.engine.begin() as connection:
        connection.execute(text("DELETE FROM replica_states"))
    add_state(deps.engine, workload, 0, at=ORIGIN + later * STEP)
    add_forecast(deps.engine, workload, 100.0, forecast_id=99, origin_at=ORIGIN + later * STEP)
    clock = FixedClock(ORIGIN + (later + 1) * STEP)
    service.decide_shard(replace(deps, clock=clock), 0, ORIGIN + later * STEP, is_rest=True)
    assert risk_state(deps.engine)["spent_steps"] == 1.0


def test_what_was_measured_is_forgotten_by_time_at_both_ends_too(deps: DecisionDeps) -> None:
    workload = add_workload(deps.engine, "w", sla=promise("DemandFraction") | WINDOW)
    add_demand(deps.engine, workload, [95.0] * N_WINDOW)
    for back in range(N_WINDOW - 1, -1, -2):
        add_state(deps.engine, workload, 10, at=ORIGIN - back * STEP)
    counts = {"ttft_total": [100.0], "ttft_good": [90.0], "waiting": [0.0]}
    add_counts(deps.engine, workload, **{name: v * N_WINDOW for name, v in counts.items()})
    lag = 1 + -(-int(deps.settings.late_s) // STEP_S)
    decide(deps, workload, 0)
    full = decide(deps, workload, lag)
    assert full["measured_steps"] == pytest.approx(10.0)
    state = decide(deps, workload, lag + 6)
    assert state["measured_steps"] == pytest.approx(4.0)
    assert state["measured_total"] == pytest.approx(400.0)
    assert state["measured_missed"] == pytest.approx(40.0, rel=1e-4)
    assert state["low_steps"] == state["high_steps"] == state["measured_steps"]
    assert state["measured_low_ratio"] == pytest.approx(0.1, rel=1e-4)
    state = decide(deps, workload, lag + N_WINDOW)
    assert (state["measured_steps"], state["budget_source"]) == (0.0, "believed")
