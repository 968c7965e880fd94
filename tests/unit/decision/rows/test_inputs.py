"""Histories and lead times of a request, from rows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from decider import MissDraws, MissPrior, RiskState
from services.decision.rows.inputs import (
    ShardRows,
    capacity_of,
    counts_further,
    equivalent_of,
    further_of,
    history_of,
    lead_time_of,
    response_of,
    risk_memory,
    scored_capacity,
)
from services.decision.rows.lead_times import durations_of
from services.decision.rows.members import ShardMember
from services.decision.rows.responses import LearnedResponse
from services.kernel.domain import WorkloadSpec

NOW = datetime(2026, 1, 6, 12, 5, tzinfo=UTC)  # a Tuesday


def make_spec(**changes: Any) -> WorkloadSpec:
    base: dict[str, Any] = {
        "target": "Deployment/w",
        "demand": "request_rate_rps",
        "indicators": [{"name": "request_rate_rps", "level": 1}],
        "capacity": {"per_replica": 10.0},
        "lead_time": {"median_s": 60.0, "sigma": 0.3},
    }
    return WorkloadSpec.model_validate(base | changes)


def start(ready_after_s: float | None, gone_after_s: float | None = None) -> Any:
    requested = NOW - timedelta(seconds=600)
    after = {
        name: None if s is None else requested + timedelta(seconds=s)
        for name, s in (("ready_at", ready_after_s), ("gone_at", gone_after_s))
    }
    return {"requested_at": requested, **after}


def test_pending_and_lost_starts_are_censored() -> None:
    durations, ages = durations_of([start(90.0), start(None), start(None, 200.0), start(0.0)], NOW)
    assert durations.tolist() == [90.0]
    assert sorted(ages.tolist()) == [200.0, 600.0]


def test_recent_starts_move_the_stated_lead_time() -> None:
    member = ShardMember(1, "demo", "w", 300, make_spec())
    stated = lead_time_of(member, ShardRows(), NOW)
    assert np.median(stated) == pytest.approx(60.0, rel=0.03)
    slow = ShardRows(starts={1: [start(240.0)] * 40})
    assert np.median(lead_time_of(member, slow, NOW)) > 120.0
    fitted = ShardRows(lead_time_s={"gpu_type:H100": np.full(64, 500.0)})
    assert np.median(lead_time_of(member, fitted, NOW)) == pytest.approx(500.0, rel=0.05)


def test_history_keeps_gaps_as_unknown() -> None:
    member = ShardMember(1, "demo", "w", 300, make_spec())
    origin = NOW - timedelta(seconds=300)
    steps = np.array([origin.timestamp() - 900, origin.timestamp() - 300, origin.timestamp()])
    rows = ShardRows(demand={1: (steps, np.array([1.0, 2.0, 3.0]))})
    history = history_of(member, {"origin_at": origin}, rows)  # type: ignore[arg-type]
    np.testing.assert_array_equal(history.demand, [1.0, np.nan, 2.0, 3.0])
    assert history.demand_until_s == NOW.timestamp()


def test_what_was_learned_goes_to_the_request_and_to_nobody_else() -> None:
    objective = {"goals": [{"metric": "ttft", "threshold_s": 0.5}]}
    learned = ShardMember(1, "demo", "w", 300, make_spec(sla={"objective": objective}))
    other = ShardMember(2, "demo", "v", 300, make_spec())
    response = LearnedResponse.of(MissPrior.stated(8.0, 0.0, 0.05).draws(256), learned.spec, 500.0)
    rows = ShardRows(responses={1: response}, capacity={"workload:1": np.full(9, 3.0)})
    assert response_of(learned, rows, False) is response.draws
    assert response_of(other, rows, False) is None
    np.testing.assert_allclose(
        np.quantile(capacity_of(learned, rows), 0.5), np.median(response.capacity)
    )
    assert scored_capacity(learned, rows) == pytest.approx(float(np.median(response.capacity)))
    assert scored_capacity(other, rows) == 10.0
    np.testing.assert_array_equal(capacity_of(other, rows), capacity_of(other, ShardRows()))


TOKENS = "output_tokens_per_s"
ORIGIN = NOW - timedelta(seconds=300)
AT_S = ORIGIN.timestamp() - 300.0 * np.arange(3)[::-1]


def bound_member(**changes: Any) -> ShardMember:
    """A replica serves 10 requests or 200 tokens a second."""
    spec = make_spec(
        indicators=[{"name": name, "level": 1} for name in ("request_rate_rps", TOKENS)],
        capacity={
            "per_replica": 10.0,
            "also_bound_by": [{"indicator": TOKENS, "per_replica": 200.0}],
        },
        **changes,
    )
    return ShardMember(1, "demo", "w", 300, spec)


def rows_of(tokens: Any, **more: Any) -> ShardRows:
    """Three steps with a demand of 50; tokens of the last ones."""
    known = np.asarray(tokens, dtype=float)
    series = (AT_S[AT_S.size - known.size :], known)
    further = {1: {TOKENS: series}} if known.size else {}
    return ShardRows(demand={1: (AT_S, np.full(3, 50.0))}, further=further, **more)


def test_the_history_is_the_equivalent_demand_and_unknown_where_a_load_is() -> None:
    forecast: Any = {"origin_at": ORIGIN}
    history = history_of(bound_member(), forecast, rows_of([400.0, 2000.0]))
    np.testing.assert_array_equal(history.demand, [np.nan, 50.0, 100.0])
    plain = ShardMember(1, "demo", "w", 300, make_spec())
    np.testing.assert_array_equal(
        history_of(plain, forecast, rows_of([400.0, 2000.0])).demand, np.full(3, 50.0)
    )


def test_of_loads_that_never_answered_the_demand_alone_is_left() -> None:
    forecast: Any = {"origin_at": ORIGIN}
    np.testing.assert_array_equal(
        history_of(bound_member(), forecast, rows_of([])).demand, np.full(3, 50.0)
    )
    found = equivalent_of(bound_member(), rows_of([]))
    assert found is not None
    assert np.isnan(found[1]).all(), "but what was scored by it is not known"


def test_further_loads_count_where_they_were_forecast_or_seen() -> None:
    member, paths = bound_member(), np.ones((1, 5, 6))
    assert counts_further(member, rows_of([]), paths)
    assert counts_further(member, rows_of([400.0]), None)
    assert not counts_further(member, rows_of([]), None)
    assert not counts_further(member, ShardRows(), None)
    plain = ShardMember(1, "demo", "w", 300, make_spec())
    assert not counts_further(plain, rows_of([400.0]), None)


def two_loads(sharing: float, tokens: float) -> MissDraws:
    """A response by which a replica carries `tokens` times as many tokens as requests."""
    one = MissPrior.stated(8.0, 0.0, 0.05).draws(256)
    return MissDraws(
        one.capacity,
        one.slope,
        one.floor,
        one.concentration,
        np.full(256, sharing),
        tokens * one.capacity[:, None],
    )


def test_a_response_adds_the_loads_up_and_answers_to_the_demand_where_they_are_unknown() -> None:
    objective = {"goals": [{"metric": "ttft", "threshold_s": 0.5}]}
    member = bound_member(sla={"objective": objective})
    response = LearnedResponse.of(two_loads(1.0, 10.0), member.spec, 500.0)
    rows = rows_of([400.0, 2000.0, 0.0], responses={1: response})
    found = equivalent_of(member, rows)
    assert found is not None
    np.testing.assert_allclose(found[1], [90.0, 250.0, 50.0])
    whole, alone = (response_of(member, rows, is_bound) for is_bound in (True, False))
    assert whole is not None
    assert alone is not None
    assert (whole.n_further, alone.n_further) == (1, 0)
    np.testing.assert_array_equal(whole.capacity, alone.capacity)


def test_a_capacity_learned_from_latencies_is_one_of_all_loads() -> None:
    """Half of the stated 10: then half of the 200 tokens, too; the equivalent demand stays."""
    member, rows = bound_member(), rows_of([400.0, 2000.0, 0.0])
    learned = replace(rows, capacity={"workload:1": np.full(9, 5.0)})
    assert further_of(member, rows) == (200.0,)
    assert further_of(member, learned) == (100.0,)
    found = equivalent_of(member, learned)
    assert found is not None
    np.testing.assert_array_equal(found[1], [50.0, 100.0, 50.0])
    objective = {"goals": [{"metric": "ttft", "threshold_s": 0.5}]}
    measured = bound_member(sla={"objective": objective})
    response = LearnedResponse.of(two_loads(1.0, 10.0), measured.spec, 500.0)
    assert further_of(measured, replace(learned, responses={1: response})) == (200.0,)


def test_a_price_of_risk_found_before_the_response_was_known_is_not_carried() -> None:
    """Of a promise of requests; of one of time it is."""
    of_requests = bound_member(sla={"kind": "DemandFraction", "epsilon": 0.01})
    member, state = of_requests, RiskState(observed_steps=8.0, log_multiplier=-2.0)
    learned = LearnedResponse(MissPrior.stated(10.0, 0.0, 0.05).draws(8), 100.0, np.full(8, 10.0))
    known = {
        is_first: ShardRows(
            risk={member.id: state}, responses={member.id: replace(learned, is_first=is_first)}
        )
        for is_first in (False, True)
    }
    assert risk_memory(member, ShardRows(risk={member.id: state})) == state
    assert risk_memory(member, known[False]) == state
    assert risk_memory(member, known[True]) == replace(state, log_multiplier=None)
    assert risk_memory(member, ShardRows()) == RiskState()
    assert risk_memory(bound_member(), known[True]) == state
