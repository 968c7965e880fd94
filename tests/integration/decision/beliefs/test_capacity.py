"""The draws that decide: fitted ones, reweighted by the steps since, for the spec as it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import text

from services.decision.decide import service
from services.decision.decide.replay import replay
from services.decision.wiring import DecisionDeps
from services.kernel.clock import FixedClock
from services.kernel.db import schema
from services.kernel.db.session import CopyTarget, copy_rows
from services.kernel.jobs import DECIDE_FIT, RecordingSender
from tests.integration.decision.learned_capacity import (
    NOW,
    ORIGIN,
    SLO_MS,
    STATED,
    STEP,
    add_forecast,
    add_steps,
    add_workload,
    store,
    true_curve,
    used_capacity,
)
from tests.integration.decision.stored_rows import decisions
from tests.integration.stored_indicators import store_indicators

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings(
        "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore:PyTensor could not link"
    ),
]


def test_steps_after_the_fit_move_the_draws_and_replay_keeps_its_bytes(deps: DecisionDeps) -> None:
    workload = add_workload(deps.engine, "w")
    store(deps.engine, workload, np.linspace(9.5, 11.5, 256))
    add_steps(deps.engine, workload, 10.0, np.random.default_rng(2).uniform(5.0, 8.0, 20))
    add_forecast(deps.engine, workload, 1)

    service.decide_shard(deps, 0, ORIGIN)

    used, decision = used_capacity(deps, workload)
    truth = true_curve(10.0).capacity(SLO_MS)[0]
    lowest, before, highest = (true_curve(k).capacity(SLO_MS)[0] for k in (9.5, 10.5, 11.5))
    assert abs(np.median(used) - truth) < 0.6 * (before - truth)
    assert used.std() < 0.5 * (highest - lowest) / np.sqrt(12.0)  # half of the uniform draws'
    add_steps(
        deps.engine, workload, 12.5, np.full(30, 8.0), last=ORIGIN - 40 * STEP
    )  # evidence that came later changes no decision that was made
    assert replay(deps, decision).is_identical


def test_a_fit_that_steps_contradict_is_kept_and_asks_for_a_refit(deps: DecisionDeps) -> None:
    workload = add_workload(deps.engine, "w")
    store(deps.engine, workload, np.linspace(14.0, 15.0, 256))
    add_steps(deps.engine, workload, 9.0, np.random.default_rng(3).uniform(5.0, 8.5, 60))
    add_forecast(deps.engine, workload, 1)
    service.decide_shard(deps, 0, ORIGIN)
    used, _ = used_capacity(deps, workload)
    assert used.min() > true_curve(13.9).capacity(SLO_MS)[0]
    sender = deps.sender
    assert isinstance(sender, RecordingSender)
    # 12:00 begins one of the intervals of four hours: the fit is asked for then, and only then.
    assert [job.name for job in sender.sent] == [DECIDE_FIT]
    later = replace(deps, clock=FixedClock(NOW + STEP))
    service.decide_shard(later, 0, ORIGIN + STEP)
    assert [job.name for job in sender.sent] == [DECIDE_FIT]


@pytest.mark.parametrize("changed", [{"per_replica": 12.0}, {"slo_latency_ms": 300.0}])
def test_a_fit_for_another_spec_is_not_used(deps: DecisionDeps, changed: dict[str, float]) -> None:
    workload = add_workload(deps.engine, "w", **changed)
    store(deps.engine, workload, np.linspace(20.0, 21.0, 64))
    add_forecast(deps.engine, workload, 1)
    service.decide_shard(deps, 0, ORIGIN)
    used, _ = used_capacity(deps, workload)
    np.testing.assert_array_equal(used, np.full(used.size, changed.get("per_replica", STATED)))


def test_a_decision_keeps_what_was_learned_of_a_replica(deps: DecisionDeps) -> None:
    """What it says afterwards of the replicas that ran is what it believed of them."""
    workload = add_workload(deps.engine, "w")
    store(deps.engine, workload, np.full(256, 9.0))
    add_forecast(deps.engine, workload, 1)
    service.decide_shard(deps, 0, ORIGIN)
    used, _ = used_capacity(deps, workload)
    (row,) = decisions(deps.engine)
    kept = row["explanation"]["capacity"]
    assert (kept["source"], kept["per_replica"]) == (
        "learned", pytest.approx(np.median(used), rel=1e-3),
    )  # fmt: skip


def test_a_finished_step_is_scored_by_the_capacity_that_decides(deps: DecisionDeps) -> None:
    """10 replicas of the stated 10 would hold a demand of 90; of the learned they do not."""
    workload = add_workload(deps.engine, "w")
    store(deps.engine, workload, np.full(256, 9.0))
    add_forecast(deps.engine, workload, 1)
    demand = (workload, "request_rate_rps", ORIGIN, 90.0, True)
    state = (workload, ORIGIN, 10, 10, 0, 0, [], 100)
    states = (
        "workload_id", "observed_at", "spec_replicas", "ready_replicas", "starting_replicas",
        "pending_replicas", "start_ages_s", "schedulable_gpus",
    )  # fmt: skip
    with deps.engine.begin() as connection:
        store_indicators(connection, [demand])
        copy_rows(connection, CopyTarget(schema.replica_states, states, "error"), [state])

    service.decide_shard(deps, 0, ORIGIN)

    learned = float(true_curve(9.0).capacity(SLO_MS)[0])
    used, _ = used_capacity(deps, workload)
    assert np.median(used) == pytest.approx(learned, rel=1e-6)
    with deps.engine.connect() as connection:
        row = connection.execute(text("SELECT * FROM outcomes")).mappings().one()
    assert row["needed_replicas"] == np.ceil(90.0 / learned) > 10
    assert row["violation_ratio"] == 1.0
    assert row["shortage"] == pytest.approx(90.0 - 10 * learned, rel=1e-5)
