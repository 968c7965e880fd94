"""A shard with services on steps of two lengths: each is decided on at its own origins."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from services.decision.decide import service
from services.decision.wiring import DecisionDeps
from services.kernel.clock import FixedClock
from services.kernel.db.session import unit_of_work
from services.kernel.db.turns import DECIDE, note_asked
from tests.integration.decision.stored_rows import (
    NOW,
    ORIGIN,
    STEP_S,
    add_demand,
    add_forecast,
    add_state,
    add_workload,
    decisions,
)

pytestmark = pytest.mark.integration

THIRD = timedelta(seconds=STEP_S // 3)
"""The shorter step."""


def add(deps: DecisionDeps, name: str, step: timedelta) -> int:
    workload = add_workload(deps.engine, name)
    with deps.engine.begin() as connection:
        set_step = text("UPDATE workloads SET step_s = :s WHERE id = :id")
        connection.execute(set_step, {"s": step.total_seconds(), "id": workload})
    add_demand(deps.engine, workload, [95.0] * 30, NOW - step, step=step)
    add_state(deps.engine, workload, 10)
    return workload


def ask(deps: DecisionDeps, *origins: datetime) -> None:
    with unit_of_work(deps.engine) as work:
        for origin_at in origins:
            note_asked(work.connection, DECIDE, 0, origin_at)


def decided(deps: DecisionDeps, workload: int) -> list[datetime]:
    rows = decisions(deps.engine)
    return sorted(r["origin_at"] for r in rows if r["workload_id"] == workload)


def test_each_is_decided_on_at_its_own_newest_forecast(deps: DecisionDeps) -> None:
    long, short = add(deps, "long", 3 * THIRD), add(deps, "short", THIRD)
    add_forecast(deps.engine, short, 100.0, forecast_id=1, step_s=STEP_S // 3)
    assert service.decide_shard(deps, 0, ORIGIN).n_decisions == 1
    add_forecast(deps.engine, long, 100.0, forecast_id=2)
    last = ORIGIN + THIRD
    add_forecast(deps.engine, short, 100.0, forecast_id=3, origin_at=last, step_s=STEP_S // 3)
    ask(deps, ORIGIN, last)
    assert service.decide_shard(deps, 0, ORIGIN).n_decisions == 1
    assert decided(deps, long) == [ORIGIN]
    assert service.decide_shard(deps, 0, last).n_decisions == 1
    assert decided(deps, short) == [ORIGIN, last]
    assert service.decide_shard(deps, 0, ORIGIN).n_decisions == 0, "there is no other one"


def test_the_longer_one_is_sent_again_after_newer_ones_of_the_shorter(deps: DecisionDeps) -> None:
    """Steps of one second beside ones of five minutes, of which each is decided on for a while."""
    long, short = add(deps, "long", 3 * THIRD), add(deps, "short", timedelta(seconds=1))
    add_forecast(deps.engine, long, 100.0, forecast_id=1)
    last = NOW + THIRD
    add_forecast(deps.engine, short, 100.0, forecast_id=2, origin_at=last, step_s=1)
    clock = FixedClock(last)
    of_seconds = deps.settings.model_copy(update={"step_s": 1})
    assert service.sweep(replace(deps, clock=clock, settings=of_seconds)) == 2


@pytest.mark.parametrize("step_s", [STEP_S // 3, 2 * STEP_S])
def test_a_forecast_of_before_the_length_of_steps_was_changed_is_decided_on(
    deps: DecisionDeps, step_s: int
) -> None:
    workload = add(deps, "w", 3 * THIRD)
    add_forecast(deps.engine, workload, 100.0)
    with deps.engine.begin() as connection:
        connection.execute(text("UPDATE workloads SET step_s = :s"), {"s": step_s})
    assert service.decide_shard(deps, 0, ORIGIN).n_decisions == 1
    step, clock = timedelta(seconds=step_s), FixedClock(NOW + timedelta(seconds=2 * step_s))
    add_demand(deps.engine, workload, [95.0] * 2, NOW + step, step=step)
    add_forecast(deps.engine, workload, 100.0, forecast_id=2, origin_at=NOW + step, step_s=step_s)
    later = replace(deps, clock=clock)
    assert service.decide_shard(later, 0, NOW + step, is_rest=True).n_decisions == 1
    assert decided(deps, workload) == [ORIGIN, NOW + step]
    assert [row["rung"] for row in decisions(deps.engine)] == ["model"] * 2
    with deps.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM workload_errors")) == 0
