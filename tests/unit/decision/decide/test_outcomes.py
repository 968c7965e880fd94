"""Outcomes of finished steps: scored by the capacity that decides."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from decider import RiskState
from services.decision.decide.outcomes import WorkloadOutcomes, finished_outcomes
from services.decision.rows.inputs import ShardRows, capacity_of, scored_capacity
from services.decision.rows.members import ShardMember
from services.kernel.domain import WorkloadSpec

STEP_S = 300
ORIGIN = datetime(2026, 1, 6, 12, 0, tzinfo=UTC)
NOW = ORIGIN + timedelta(seconds=STEP_S)
LATENCY = {"name": "latency_p95_ms", "level": 1}
TOKENS = {"name": "tokens", "level": 1}
LEARNING = {"latency_indicator": "latency_p95_ms", "slo_latency_ms": 400.0}


def member(**capacity: Any) -> ShardMember:
    spec = WorkloadSpec.model_validate(
        {
            "target": "Deployment/w",
            "demand": "request_rate_rps",
            "indicators": [{"name": "request_rate_rps", "level": 1}, LATENCY, TOKENS],
            "capacity": {"per_replica": 10.0} | capacity,
        }
    )
    return ShardMember(1, "demo", "w", STEP_S, spec)


def step_rows(demand: float, ready: int, **capacity: Any) -> ShardRows:
    """One step, the origin's, with `ready` replicas all through it."""
    state: Any = {"observed_at": ORIGIN, "ready_replicas": ready, "starting_replicas": 0}
    return ShardRows(
        demand={1: (np.array([ORIGIN.timestamp()]), np.array([demand]))},
        states={1: [state]},
        capacity={name.replace("__", ":"): draws for name, draws in capacity.items()},
    )


def scored(one: ShardMember, rows: ShardRows) -> WorkloadOutcomes:
    return finished_outcomes(one, rows, set(), ORIGIN, NOW)


def test_a_learned_capacity_of_half_the_stated_scores_the_step() -> None:
    """Demand 60, 10 replicas: 6 of the stated 10 would do, 12 of the learned 5 are needed."""
    stated = scored(member(**LEARNING), step_rows(60.0, 10))
    (outcome,) = stated.outcomes.values()
    assert (outcome.needed_replicas, outcome.violation_ratio, outcome.shortage) == (6, 0.0, 0.0)
    learned = scored(member(**LEARNING), step_rows(60.0, 10, workload__1=np.full(256, 5.0)))
    (outcome,) = learned.outcomes.values()
    assert (outcome.needed_replicas, outcome.violation_ratio, outcome.shortage) == (12, 1.0, 10.0)
    row = learned.rows[0]
    assert row[5:8] == (12, 1.0, 10.0)  # as they are stored


def test_a_service_without_a_replica_yet_violates_nothing() -> None:
    """It is scored from the first step that began with a replica ready, and from then on always."""
    none_yet = step_rows(60.0, 0)
    (outcome,) = scored(member(), none_yet).outcomes.values()
    assert (outcome.demand, outcome.violation_ratio, outcome.needed_replicas) == (60.0, None, None)
    assert scored(member(), none_yet).before_first == {ORIGIN.timestamp()}
    ready: Any = {"requested_at": ORIGIN, "ready_at": ORIGIN + timedelta(seconds=60)}
    (outcome,) = scored(member(), replace(none_yet, starts={1: [ready]})).outcomes.values()
    assert outcome.violation_ratio is None, "the step began without one"
    for known in (RiskState(observed_steps=1.0), RiskState(measured_steps=1.0)):
        result = scored(member(), replace(none_yet, risk={1: known}))
        (outcome,) = result.outcomes.values()
        assert outcome.violation_ratio == 1.0, "an outage of a service that has served"
        assert result.before_first == frozenset()


def test_the_ratio_of_the_gpu_type_counts_only_with_a_latency_objective() -> None:
    rows = step_rows(60.0, 10, gpu_type__H100=np.full(256, 0.5))
    assert scored_capacity(member(**LEARNING), rows) == 5.0
    assert scored_capacity(member(), rows) == 10.0
    own = step_rows(60.0, 10, gpu_type__H100=np.full(256, 0.5), workload__1=np.full(256, 8.0))
    assert scored_capacity(member(**LEARNING), own) == 8.0


@pytest.mark.parametrize("cv", [0.0, 0.4])
def test_without_learned_draws_the_stated_mean_scores(cv: float) -> None:
    """A spread that is stated widens what is decided on; what happened is scored as before."""
    rows = step_rows(95.0, 10)
    assert scored_capacity(member(cv=cv), rows) == 10.0
    (outcome,) = scored(member(cv=cv), rows).outcomes.values()
    assert (outcome.needed_replicas, outcome.violation_ratio) == (10, 0.0)


@given(st.lists(st.floats(0.1, 1e4), min_size=1, max_size=300), st.floats(0.1, 1e3))
def test_the_scoring_capacity_is_the_median_of_the_draws_that_decide(
    draws: list[float], stated: float
) -> None:
    one = member(per_replica=stated)
    rows = ShardRows(capacity={"workload:1": np.array(draws)})
    used = capacity_of(one, rows)
    assert scored_capacity(one, rows) == np.median(used)
    assert min(draws) <= scored_capacity(one, rows) <= max(draws) * (1 + 1e-12)


def test_where_tokens_bind_the_step_is_scored_by_them_and_the_demand_kept() -> None:
    """Demand 60 would take 6 replicas; its 2400 tokens, 200 a replica, take 12."""
    spec = member(also_bound_by=[{"indicator": "tokens", "per_replica": 200.0}])
    seen = (np.array([ORIGIN.timestamp()]), np.array([2400.0]))
    bound = scored(spec, replace(step_rows(60.0, 10), further={1: {"tokens": seen}}))
    (outcome,) = bound.outcomes.values()
    assert (outcome.demand, outcome.needed_replicas, outcome.violation_ratio) == (60.0, 12, 1.0)
    assert bound.rows[0][3] == 60.0
    unknown = scored(spec, step_rows(60.0, 10))
    (outcome,) = unknown.outcomes.values()
    assert (outcome.demand, outcome.needed_replicas, outcome.violation_ratio) == (60.0, None, None)
