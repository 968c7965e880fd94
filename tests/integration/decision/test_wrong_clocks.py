"""A worker whose clock is wrong decides, fits and judges by the database's."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from services.decision.beliefs import repository
from services.decision.beliefs.due import due_fits
from services.decision.decide.service import decide_shard
from services.decision.trust.service import judge_shard, send_due
from services.decision.wiring import DecisionDeps
from services.kernel.clock import SystemClock
from services.kernel.db import schema
from services.kernel.db.partitions import ensure_partitions
from tests.integration.decision.stored_rows import (
    STEP,
    STEP_S,
    add_demand,
    add_forecast,
    add_state,
    add_workload,
    decisions,
)

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings(
        "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore:PyTensor could not link"
    ),
]
MONTH = timedelta(days=30)


class WrongClock(SystemClock):
    """Ahead of all others, or behind them."""

    def __init__(self, ahead: timedelta) -> None:
        self._ahead = ahead

    def now(self) -> datetime:
        return super().now() + self._ahead


def by(deps: DecisionDeps, ahead: timedelta = timedelta()) -> DecisionDeps:
    """The dependencies of a process whose clock is ahead by so much."""
    return replace(deps, clock=WrongClock(ahead))


@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(seconds=-280)])
def test_a_forecast_is_not_old_or_of_the_future_by_a_clock_that_is_wrong(
    deps: DecisionDeps, ahead: timedelta
) -> None:
    """And what is stored is not later than now, so that nothing waits for that time to come."""
    now = SystemClock().now()
    ended_s = now.timestamp() // STEP_S * STEP_S
    origin = datetime.fromtimestamp(ended_s, UTC) - STEP
    with deps.engine.begin() as connection:
        for table in schema.PARTITIONED:
            ensure_partitions(connection, table, origin - timedelta(days=1), now + STEP)
    workload = add_workload(deps.engine, "w")
    add_demand(deps.engine, workload, [95.0] * 30, last=origin)
    add_state(deps.engine, workload, 10, at=origin)
    add_forecast(deps.engine, workload, 100.0, origin_at=origin)

    assert decide_shard(by(deps, ahead), 0, origin).n_decisions == 1

    (row,) = decisions(deps.engine)
    assert row["rung"] in ("model", "last_forecast")  # the test may run into the next step
    assert now - timedelta(seconds=2) <= row["decided_at"] <= SystemClock().now()


def _fit(deps: DecisionDeps, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """A fit of lead times that finds what it is told."""
    from services.decision.beliefs import fit_lead_time

    diagnostics = fit_lead_time.Diagnostics(1.0, 1e4, 0, 256)
    assert diagnostics.fault() == ""

    class Posterior:
        def __init__(self) -> None:
            self.diagnostics = diagnostics

        def predictive(self, *_: Any) -> Any:
            return np.full(256, seconds)

        predictive_new = predictive

    monkeypatch.setattr(fit_lead_time, "fit_lead_time", lambda *_: Posterior())
    assert fit_lead_time.fit_lead_times(deps).is_promoted


@pytest.mark.slow
def test_a_fit_by_a_clock_that_is_ahead_keeps_no_later_one_from_being_made_or_used(
    deps: DecisionDeps, monkeypatch: pytest.MonkeyPatch
) -> None:
    workload, now = add_workload(deps.engine, "w"), SystemClock().now()
    with deps.engine.begin() as connection:
        for i in range(10):
            connection.execute(
                schema.pod_starts.insert().values(
                    pod_uid=str(i), workload_id=workload, gpu_type="H100", observed_at=now,
                    requested_at=now - timedelta(hours=2), ready_at=now - timedelta(hours=1),
                )
            )  # fmt: skip
    _fit(by(deps, MONTH), monkeypatch, 60.0)
    assert not due_fits(by(deps)).lead_times
    with deps.engine.begin() as connection:
        older = timedelta(seconds=deps.settings.fit_interval_s)
        connection.execute(text("UPDATE posteriors SET fitted_at = fitted_at - :a"), {"a": older})
    assert due_fits(by(deps)).lead_times
    _fit(by(deps), monkeypatch, 700.0)
    with deps.engine.connect() as connection:
        found = repository.load_draws(connection, "lead_time", ["gpu_type:H100"])
    assert np.median(found["gpu_type:H100"]) == 700.0


def test_a_look_by_a_clock_that_is_ahead_keeps_no_later_one_from_being_made(
    deps: DecisionDeps,
) -> None:
    add_workload(deps.engine, "w")
    judge_shard(by(deps, MONTH), 0, is_scheduled=True)
    assert send_due(by(deps), is_scheduled=True) == []
    with deps.engine.begin() as connection:
        older = timedelta(seconds=deps.settings.trust_interval_s)
        statement = text("UPDATE trust_verdicts SET decided_at = decided_at - :a")
        connection.execute(statement, {"a": older})
    assert send_due(by(deps), is_scheduled=True) == [0]
