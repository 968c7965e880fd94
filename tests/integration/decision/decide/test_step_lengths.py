"""Steps of another length on a real Postgres: no time is charged twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from services.decision.decide import service
from services.decision.wiring import DecisionDeps
from services.kernel.clock import FixedClock
from tests.integration.decision.measured_rows import outcomes, risk_state
from tests.integration.decision.stored_rows import (
    NOW,
    ORIGIN,
    STEP,
    STEP_S,
    add_demand,
    add_forecast,
    add_state,
    add_workload,
)

pytestmark = pytest.mark.integration

GPU_HOURS_PER_S = 10 / 3600
"""Ten replicas of one GPU each."""


def charged(deps: DecisionDeps, lengths_s: dict[datetime, int]) -> tuple[float, list[Any]]:
    """Seconds charged in all, and the rows; no two of them overlap.

    `lengths_s`: length of the steps that were made from then on.
    """
    rows = outcomes(deps.engine)
    ends = [
        row["step_at"]
        + timedelta(seconds=max((at, s) for at, s in lengths_s.items() if at <= row["step_at"])[1])
        for row in rows
    ]
    for end, after in zip(ends, rows[1:], strict=False):
        assert end <= after["step_at"], "charged twice"
    return sum(row["gpu_hours"] for row in rows) / GPU_HOURS_PER_S, rows


def set_length(deps: DecisionDeps, step_s: int) -> None:
    with deps.engine.begin() as connection:
        connection.execute(text("UPDATE workloads SET step_s = :s"), {"s": step_s})


def started(deps: DecisionDeps) -> int:
    """A workload with ten replicas for six steps, each of which has its outcome."""
    workload = add_workload(deps.engine, "w")
    add_demand(deps.engine, workload, [95.0] * 30)
    for back in range(5, -1, -1):
        add_state(deps.engine, workload, 10, at=ORIGIN - back * STEP)
    add_forecast(deps.engine, workload, 100.0)
    service.decide_shard(deps, 0, ORIGIN)
    return workload


def decide(deps: DecisionDeps, workload: int, origin_at: datetime, step_s: int, n: int) -> None:
    step = timedelta(seconds=step_s)
    add_demand(deps.engine, workload, [95.0], origin_at, step=step)
    add_state(deps.engine, workload, 10, at=origin_at)
    add_forecast(deps.engine, workload, 100.0, forecast_id=n, origin_at=origin_at, step_s=step_s)
    later = replace(deps, clock=FixedClock(origin_at + step))
    service.decide_shard(later, 0, origin_at, is_rest=True)


@pytest.mark.parametrize("step_s", [STEP_S // 2, STEP_S // 5, 1])
def test_time_that_longer_steps_charged_is_not_charged_again(
    deps: DecisionDeps, step_s: int
) -> None:
    workload = started(deps)
    assert charged(deps, {ORIGIN - 6 * STEP: STEP_S})[0] == pytest.approx(6 * STEP_S)
    set_length(deps, step_s)
    for n in range(4):
        origin_at = NOW + timedelta(seconds=n * step_s)
        decide(deps, workload, origin_at, step_s, n + 2)
    seconds, rows = charged(deps, {ORIGIN - 6 * STEP: STEP_S, NOW: step_s})
    assert seconds == pytest.approx(6 * STEP_S + 4 * step_s)
    assert len(rows) == 6 + 4
    assert risk_state(deps.engine)["observed_steps"] == pytest.approx(6 * STEP_S / step_s + 4)


def test_time_that_shorter_steps_charged_is_not_charged_again(deps: DecisionDeps) -> None:
    """A forecast of before the change is off the grid of the longer steps, and so is its step."""
    workload = started(deps)
    set_length(deps, 2 * STEP_S)
    for n in range(4):
        decide(deps, workload, NOW + n * 2 * STEP, 2 * STEP_S, n + 2)
    decide(deps, workload, NOW + 7 * STEP, 2 * STEP_S, 7)
    seconds, _ = charged(deps, {ORIGIN - 6 * STEP: STEP_S, NOW: 2 * STEP_S})
    assert seconds == pytest.approx(6 * STEP_S + 4 * 2 * STEP_S)


def test_what_was_not_charged_before_the_change_is_charged_after_it(deps: DecisionDeps) -> None:
    """Nothing was decided while the settings were changed: steps since are of the new length."""
    workload = started(deps)
    set_length(deps, STEP_S // 2)
    for n in range(2):
        add_state(deps.engine, workload, 10, at=NOW + n * STEP)
    decide(deps, workload, NOW + 2 * STEP, STEP_S // 2, 2)
    seconds, rows = charged(deps, {ORIGIN - 6 * STEP: STEP_S, NOW: STEP_S // 2})
    assert seconds == pytest.approx(6 * STEP_S + 5 * STEP_S / 2)
    assert len(rows) == 6 + 5


def test_a_length_that_is_changed_back_charges_once_too(deps: DecisionDeps) -> None:
    workload = started(deps)
    set_length(deps, STEP_S // 2)
    decide(deps, workload, NOW, STEP_S // 2, 2)
    decide(deps, workload, NOW + STEP / 2, STEP_S // 2, 3)
    set_length(deps, STEP_S)
    decide(deps, workload, NOW + STEP, STEP_S, 4)
    lengths_s = {ORIGIN - 6 * STEP: STEP_S, NOW: STEP_S // 2, NOW + STEP: STEP_S}
    assert charged(deps, lengths_s)[0] == pytest.approx(8 * STEP_S)
