"""Outcomes on a real Postgres: what a step needed, lacked and cost, and the level that follows."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from services.decision.decide import service
from services.decision.wiring import DecisionDeps
from services.kernel.clock import FixedClock
from services.kernel.db import schema
from tests.integration.decision.own_counts import decided_for_long
from tests.integration.decision.stored_rows import (
    NOW,
    ORIGIN,
    STEP,
    add_demand,
    add_forecast,
    add_state,
    add_workload,
    decisions,
    one_workload,
)

pytestmark = pytest.mark.integration


def outcomes(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(text("SELECT * FROM outcomes ORDER BY step_at")).mappings())


def test_outcomes_weigh_replicas_by_time(deps: DecisionDeps) -> None:
    workload = add_workload(deps.engine, "w", gpus_per_replica=2)
    add_demand(deps.engine, workload, [95.0] * 20)
    add_state(deps.engine, workload, 8, at=ORIGIN, ages=(10.0, 10.0))
    with deps.engine.begin() as connection:
        for uid in "ab":
            connection.execute(
                schema.pod_starts.insert().values(
                    pod_uid=uid, workload_id=workload, gpu_type="H100",
                    requested_at=ORIGIN - timedelta(seconds=10),
                    ready_at=ORIGIN + timedelta(seconds=60), observed_at=NOW,
                )
            )  # fmt: skip
    add_state(deps.engine, workload, 10)
    add_forecast(deps.engine, workload, 90.0)

    assert service.decide_shard(deps, 0, ORIGIN).n_outcomes == 1

    (row,) = outcomes(deps.engine)
    assert row["step_at"] == ORIGIN
    assert row["needed_replicas"] == 10
    assert row["violation_ratio"] == pytest.approx(60 / 300)
    assert row["shortage"] == pytest.approx(15.0 * 60 / 300)
    assert row["ready_mean"] == pytest.approx(8 * 0.2 + 10 * 0.8)
    assert row["gpu_hours"] == pytest.approx(10 * 2 * 300 / 3600)
    assert row["cost_usd"] == pytest.approx(row["gpu_hours"] * 2.5)


def test_an_unobserved_step_has_an_outcome_without_a_violation(deps: DecisionDeps) -> None:
    workload = add_workload(deps.engine, "w")
    add_demand(deps.engine, workload, [95.0] * 20 + [float("nan")])
    add_state(deps.engine, workload, 8, at=ORIGIN)
    add_forecast(deps.engine, workload, 90.0)
    service.decide_shard(deps, 0, ORIGIN)
    (row,) = outcomes(deps.engine)
    assert row["violation_ratio"] is None
    assert row["demand"] is None
    assert row["gpu_hours"] > 0


def test_violations_lower_the_level_of_the_next_decision(deps: DecisionDeps) -> None:
    workload = one_workload(deps.engine, ready=5)
    decided_for_long(deps.engine, workload, 5)
    service.decide_shard(deps, 0, ORIGIN)
    with deps.engine.connect() as connection:
        state = connection.execute(text("SELECT state FROM risk_states")).scalar_one()
    assert state["spent_steps"] == 1.0
    assert state["log_level"] < 0
    later = ORIGIN + STEP
    add_demand(deps.engine, workload, [95.0], last=later)
    add_state(deps.engine, workload, 12, at=later + STEP)
    add_forecast(deps.engine, workload, 100.0, forecast_id=2, origin_at=later)
    service.decide_shard(replace(deps, clock=FixedClock(later + STEP)), 0, later)
    first, second, _ = decisions(deps.engine)
    assert second["explanation"]["risk"]["level"] < first["explanation"]["risk"]["level"]


@pytest.mark.parametrize(("has_own", "teaches"), [(False, False), (True, True)])
def test_counts_that_somebody_else_has_are_counted_and_teach_the_level_nothing(
    deps: DecisionDeps, has_own: bool, teaches: bool
) -> None:
    """Mode Advisory beside an HPA that is scarce: what it breaks is not what decisions would."""
    workload = add_workload(deps.engine, "w")
    add_demand(deps.engine, workload, [95.0] * 30)
    add_state(deps.engine, workload, 5, at=ORIGIN - 3 * STEP)
    for step in range(4):
        origin_at = ORIGIN + step * STEP
        add_demand(deps.engine, workload, [95.0], last=origin_at)
        found = decisions(deps.engine)
        if has_own and found:  # and its start takes for ever
            add_state(
                deps.engine,
                workload,
                5,
                at=origin_at + STEP,
                ages=(0.0,) * (found[-1]["desired_replicas"] - 5),
            )
        else:
            add_state(deps.engine, workload, 5, at=origin_at + STEP)
        add_forecast(deps.engine, workload, 100.0, forecast_id=step + 1, origin_at=origin_at)
        at = replace(deps, clock=FixedClock(origin_at + STEP))
        service.decide_shard(at, 0, origin_at)
    with deps.engine.connect() as connection:
        state = connection.execute(text("SELECT state FROM risk_states")).scalar_one()
    assert state["spent_steps"] >= 4.0
    assert (state["log_level"] < 0) is teaches
    assert (state["own_since_s"] is not None) is teaches


def test_steps_in_which_a_workload_was_away_have_no_outcome(deps: DecisionDeps) -> None:
    """Its replicas of before it left neither cost nor serve, and its requests teach nothing."""
    workload = one_workload(deps.engine, ready=10)
    service.decide_shard(deps, 0, ORIGIN)
    back_at = ORIGIN + 10 * STEP
    for is_active, at in ((False, ORIGIN + STEP), (True, back_at)):
        with deps.engine.begin() as connection:
            connection.execute(
                text("UPDATE workloads SET is_active = :is_active, updated_at = :at"),
                {"is_active": is_active, "at": at},
            )
    add_state(deps.engine, workload, 2, at=back_at)
    add_demand(deps.engine, workload, [15.0] * 11, last=back_at)
    add_forecast(deps.engine, workload, 15.0, forecast_id=2, origin_at=back_at)
    service.decide_shard(replace(deps, clock=FixedClock(back_at + STEP)), 0, back_at)
    found = {row["step_at"]: row["ready_mean"] for row in outcomes(deps.engine)}
    assert found == {ORIGIN: 10.0, back_at: 2.0}
