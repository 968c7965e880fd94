"""Measured outcomes on a real Postgres: revised until they are final, and counted once."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from services.decision.decide import service
from services.decision.wiring import DecisionDeps
from services.kernel.clock import FixedClock
from tests.integration.decision.measured_rows import (
    add_counts,
    outcomes,
    promise,
    risk_state,
)
from tests.integration.decision.own_counts import decided_for_long
from tests.integration.decision.stored_rows import (
    NOW,
    ORIGIN,
    STEP,
    STEP_S,
    add_demand,
    add_forecast,
    add_state,
    add_workload,
    one_workload,
)

pytestmark = pytest.mark.integration


def decide(deps: DecisionDeps, at: datetime, origin_at: datetime = ORIGIN) -> None:
    service.decide_shard(replace(deps, clock=FixedClock(at)), 0, origin_at)


def final_at(deps: DecisionDeps) -> datetime:
    """When the origin's step becomes final."""
    return ORIGIN + 2 * STEP + timedelta(seconds=deps.settings.late_s)


def test_a_step_is_revised_until_it_is_final_and_counted_once(deps: DecisionDeps) -> None:
    workload = one_workload(deps.engine, sla=promise())
    add_counts(deps.engine, workload, ttft_total=[600.0], ttft_good=[600.0], waiting=[0.0])
    decide(deps, NOW)
    (first,) = outcomes(deps.engine)
    assert (first["is_final"], first["measured_violation_ratio"]) == (False, 0.0)
    assert risk_state(deps.engine)["measured_steps"] == 0.0

    add_counts(deps.engine, workload, ttft_total=[700.0], ttft_good=[600.0])
    decide(deps, NOW + STEP)
    (revised,) = outcomes(deps.engine)
    assert revised["sli_requests"] == pytest.approx(700.0)
    assert revised["sli_miss_high"] == pytest.approx(1 / 7, rel=1e-5)
    assert (revised["measured_violation_ratio"], revised["is_final"]) == (1.0, False)
    kept = {name for name in revised if revised[name] == first[name]}
    assert {"demand", "violation_ratio", "needed_replicas", "gpu_hours", "cost_usd"} <= kept

    for _ in range(2):  # the job may run twice
        decide(deps, final_at(deps))
        (final,) = outcomes(deps.engine)
        assert (final["measured_violation_ratio"], final["is_final"]) == (1.0, True)
        state = risk_state(deps.engine)
        assert (state["measured_missed"], state["measured_total"]) == (1.0, 1.0)
        assert state["measured_steps"] == 1.0
        assert state["observed_steps"] == 1.0
    add_counts(deps.engine, workload, ttft_total=[600.0], ttft_good=[600.0])
    decide(deps, final_at(deps) + STEP)
    assert outcomes(deps.engine) == [final], "nothing changes what is final"


def test_the_figures_of_every_surface_tell_measured_from_believed(deps: DecisionDeps) -> None:
    workload = one_workload(deps.engine, sla=promise("DemandFraction"))
    decided_for_long(deps.engine, workload, 10)
    add_counts(deps.engine, workload, ttft_total=[1000.0], ttft_good=[900.0], waiting=[0.0])
    decide(deps, NOW)
    early = risk_state(deps.engine)
    assert (early["budget_source"], early["measured_ratio"]) == ("believed", None)
    assert early["violation_ratio"] == early["believed_ratio"] == 0.0
    assert (early["sli_status"], early["sli_message"]) == ("Measured", "")
    decide(deps, final_at(deps))
    late = risk_state(deps.engine)
    assert late["budget_source"] == "measured"
    assert late["violation_ratio"] == late["measured_ratio"] == pytest.approx(0.1, rel=1e-5)
    assert late["believed_ratio"] == 0.0
    n_window = 28 * 86400 / STEP_S
    assert late["budget_left_ratio"] == pytest.approx(1 - 0.1 / (0.05 * n_window))
    assert late["measured_total"] == pytest.approx(1000.0)
    assert late["log_level"] < early["log_level"] <= 0.0


def test_both_ends_of_what_was_measured_are_kept_from_run_to_run(deps: DecisionDeps) -> None:
    workload = one_workload(deps.engine, sla=promise("DemandFraction"))
    counts = {"ttft_total": [1000.0] * 2, "ttft_good": [900.0] * 2, "waiting": [0.0] * 2}
    add_counts(deps.engine, workload, ORIGIN + STEP, **counts, ttft_upto=[980.0, 940.0])
    for at in (final_at(deps), final_at(deps) + STEP):
        decide(deps, at)
    state = risk_state(deps.engine)
    assert state["low_steps"] == state["measured_steps"] == 1.0
    add_demand(deps.engine, workload, [95.0], last=ORIGIN + STEP)
    decide(deps, final_at(deps) + 2 * STEP, ORIGIN + STEP)
    state = risk_state(deps.engine)
    assert state["measured_ratio"] == pytest.approx(0.1, rel=1e-5)
    assert state["measured_low_ratio"] == pytest.approx((20 + 60) / 2000, rel=1e-4)
    assert state["budget_left_high_ratio"] > state["budget_left_ratio"]
    assert state["high_steps"] == state["measured_steps"] == 2.0
    assert state["measured_high_ratio"] == state["measured_ratio"], "nothing is estimated"


def test_a_workload_without_an_objective_is_believed_and_final(deps: DecisionDeps) -> None:
    workload = one_workload(deps.engine, ready=5)
    add_counts(deps.engine, workload, ttft_total=[600.0], ttft_good=[600.0])
    decide(deps, NOW)
    (row,) = outcomes(deps.engine)
    assert (row["violation_ratio"], row["is_final"]) == (1.0, True)
    measured = ("sli_requests", "sli_miss_low", "sli_miss_high", "measured_violation_ratio")
    assert [row[name] for name in measured] == [None] * 4
    state = risk_state(deps.engine)
    assert (state["budget_source"], state["measured_ratio"]) == ("believed", None)
    assert (state["violation_ratio"], state["sli_status"]) == (1.0, "NoObjective")
    assert state["demand_censored_message"] == ""


def test_an_objective_that_nothing_answers_is_believed_and_says_what_to_do(
    deps: DecisionDeps,
) -> None:
    workload = one_workload(deps.engine, ready=5, sla=promise(), demand_counts="served")
    decided_for_long(deps.engine, workload, 5)
    decide(deps, final_at(deps))
    (row,) = outcomes(deps.engine)
    assert (row["measured_violation_ratio"], row["is_final"]) == (None, True)
    state = risk_state(deps.engine)
    assert (state["budget_source"], state["sli_status"]) == ("believed", "NoAnswer")
    assert "sli_ttft_total" in state["sli_message"]
    assert state["demand_censored_message"] is None
    assert state["log_level"] < 0, "what is believed teaches where nothing is measured"


def test_one_workloads_bad_counts_harm_no_other(deps: DecisionDeps) -> None:
    for name, good in (("bad", 900.0), ("fine", 590.0)):
        workload = add_workload(deps.engine, name, sla=promise(), demand_counts="served")
        add_demand(deps.engine, workload, [95.0] * 20)
        add_state(deps.engine, workload, 10, at=ORIGIN)
        add_forecast(deps.engine, workload, 100.0, forecast_id=workload)
        counts = {"ttft_total": [600.0], "ttft_good": [good], "waiting": [6.0]}
        add_counts(deps.engine, workload, **counts)
    decide(deps, NOW)
    with deps.engine.connect() as connection:
        found = connection.execute(
            text(
                "SELECT w.name, o.sli_miss_high, r.state ->> 'sli_message' AS message, "
                "r.state ->> 'demand_censored_message' AS censored FROM outcomes o "
                "JOIN workloads w ON w.id = o.workload_id "
                "JOIN risk_states r ON r.workload_id = w.id"
            )
        ).mappings()
        rows = {row["name"]: row for row in found}
    assert rows["bad"]["sli_miss_high"] is None
    assert "sli_ttft_good and sli_ttft_total contradict" in rows["bad"]["message"]
    assert rows["fine"]["sli_miss_high"] == pytest.approx(10 / 600, rel=1e-4)
    assert rows["fine"]["message"] == ""
    assert all("6 requests waited" in row["censored"] for row in rows.values())


def test_before_the_first_replica_a_queue_is_nobodys_violation(deps: DecisionDeps) -> None:
    workload = add_workload(deps.engine, "w", sla=promise())
    add_demand(deps.engine, workload, [95.0] * 20)
    add_state(deps.engine, workload, 0, at=ORIGIN, ages=(10.0,))
    add_forecast(deps.engine, workload, 100.0)
    add_counts(deps.engine, workload, waiting=[9.0])
    decide(deps, NOW)
    (row,) = outcomes(deps.engine)
    assert (row["measured_violation_ratio"], row["is_final"]) == (None, True)


def test_an_earlier_origin_leaves_later_open_steps_as_they_are(deps: DecisionDeps) -> None:
    workload = one_workload(deps.engine, sla=promise())
    add_counts(deps.engine, workload, ttft_total=[600.0], ttft_good=[300.0], waiting=[0.0])
    decide(deps, NOW)
    before = outcomes(deps.engine)
    decide(deps, NOW, ORIGIN - STEP)
    assert [row for row in outcomes(deps.engine) if row["step_at"] == ORIGIN] == before


def test_ledgers_go_on_in_other_steps_and_begin_anew_for_other_goals(deps: DecisionDeps) -> None:
    workload = one_workload(deps.engine, sla=promise())
    measured = {"measured_missed": 30.0, "measured_total": 600.0, "measured_steps": 600.0}
    before = {"step_s": 60.0, "spent_steps": 50.0, "observed_steps": 500.0} | measured
    for goals, kept in (([["ttft", 0.5]], 120.0), ([["ttft", 9.0]], 0.0)):
        stored = before | {"measured_for": {"goals": goals, "share": 0.95}}
        with deps.engine.begin() as connection:
            connection.execute(text("DELETE FROM outcomes"))
            connection.execute(
                text(
                    "INSERT INTO risk_states (workload_id, state, updated_at) "
                    "VALUES (:id, CAST(:state AS jsonb), :at) "
                    "ON CONFLICT (workload_id) DO UPDATE SET state = EXCLUDED.state"
                ),
                {"id": workload, "state": json.dumps(stored), "at": ORIGIN},
            )
        decide(deps, NOW)
        state = risk_state(deps.engine)
        assert state["measured_steps"] == pytest.approx(kept)
        assert state["observed_steps"] == pytest.approx(500.0 / 5 + 1)
        assert state["step_s"] == STEP_S
        assert state["measured_for"] == {"goals": [["ttft", 0.5]], "share": 0.95}


@pytest.mark.parametrize("has_objective", [True, False])
def test_requests_are_measured_while_nobody_sees_the_replicas(
    deps: DecisionDeps, has_objective: bool
) -> None:
    """The operator went: what it saw last holds for four steps, and is no cost after them."""
    workload = add_workload(deps.engine, "w", **({"sla": promise()} if has_objective else {}))
    add_demand(deps.engine, workload, [95.0] * 20)
    add_state(deps.engine, workload, 10, at=ORIGIN - 6 * STEP)
    add_forecast(deps.engine, workload, 100.0)
    counts = {"ttft_total": [600.0] * 8, "ttft_good": [300.0] * 8, "waiting": [0.0] * 8}
    add_counts(deps.engine, workload, **counts)
    for at in (NOW, final_at(deps)):
        decide(deps, at)
    rows = outcomes(deps.engine)
    assert [row["step_at"] for row in rows] == [ORIGIN - back * STEP for back in range(6, -1, -1)]
    known = [row["cost_usd"] is not None for row in rows]
    assert known == [True] * 4 + [False] * 3
    for row in rows[4:]:
        of_replicas = ("ready_mean", "gpu_hours", "violation_ratio", "needed_replicas", "shortage")
        assert [row[name] for name in of_replicas] == [None] * 5
        assert (row["demand"], row["is_final"]) == (95.0, True)
        assert row["measured_violation_ratio"] == (1.0 if has_objective else None)
    state = risk_state(deps.engine)
    assert state["measured_steps"] == (7.0 if has_objective else 0.0)
    assert state["observed_steps"] == 4.0
