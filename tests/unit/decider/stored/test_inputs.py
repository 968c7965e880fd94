"""Inputs without what a forecast holds: the same bytes with the very forecast, else a refusal."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from decider import (
    DecideConfig,
    DirectionRules,
    ForecastArrays,
    History,
    Limits,
    RatePolicy,
    ReplayMismatch,
    ShardRequest,
    Sla,
    WorkloadInput,
    decide_shard,
    decision_bytes,
    forecast_of,
    inputs_to_bytes,
    replay_decision,
    replay_service,
)
from decider.stored.replay import inputs_from_bytes
from decider.types import RISK_KINDS, RiskKind
from tests.unit.decider.planning.test_exact import STEPS, request_of
from tests.unit.decider.pool_cases import service, service_response, two_pools
from tests.unit.decider.shards import NOW_S, STEP_S, noisy, observed, shard, workload
from tests.unit.decider.tables.load_cases import bound, load_shard, several
from tests.unit.decider.tables.soft_cases import sla

CONFIG = DecideConfig()


def arrays_of(request: ShardRequest, row: int) -> ForecastArrays:
    further = request.further(row)
    loads = request.paths[row : row + 1]
    names = () if further is None else tuple(f"load_{g}" for g in range(len(further)))
    loads = loads if further is None else np.concatenate([loads, further])
    return ForecastArrays(loads, names, request.steps(row))


@pytest.mark.parametrize("kind", RISK_KINDS)
@pytest.mark.parametrize("has_steps", [False, True])
def test_with_its_forecast_a_decision_is_made_again(kind: RiskKind, has_steps: bool) -> None:
    request = request_of(sla=Sla(0.01, kind), has_quantiles=has_steps)
    (decision,) = decide_shard(request, CONFIG, NOW_S)
    forecast = arrays_of(request, 0)
    apart = inputs_to_bytes(request, 0, decision, CONFIG, NOW_S, forecast)
    assert len(apart) < len(inputs_to_bytes(request, 0, decision, CONFIG, NOW_S)) / 2
    needed = forecast_of(apart)
    assert needed is not None
    assert (needed.further, needed.has_pools, needed.digest) == ((), False, forecast.digest())
    assert decision_bytes(replay_decision(apart, forecast)) == decision_bytes(decision)


def test_another_forecast_or_none_is_refused_and_never_replayed() -> None:
    request = request_of()
    (decision,) = decide_shard(request, CONFIG, NOW_S)
    forecast = arrays_of(request, 0)
    apart = inputs_to_bytes(request, 0, decision, CONFIG, NOW_S, forecast)
    others = [
        replace(forecast, loads=forecast.loads + 1e-9),
        replace(forecast, quantiles=replace(STEPS, values=STEPS.values * 1.001)),
        replace(forecast, quantiles=None),
    ]
    for other in others:
        with pytest.raises(ReplayMismatch, match="not the one that was decided on"):
            replay_decision(apart, other)
    with pytest.raises(ReplayMismatch, match="the decision's forecast is needed"):
        replay_decision(apart)
    whole = inputs_to_bytes(request, 0, decision, CONFIG, NOW_S)
    assert forecast_of(whole) is None
    with pytest.raises(ReplayMismatch, match="hold their own paths"):
        replay_decision(whole, forecast)


@pytest.mark.parametrize("is_soft", [False, True])
def test_further_loads_are_taken_from_the_forecast(is_soft: bool) -> None:
    draws = several() if is_soft else None
    owner = bound(sla=sla() if is_soft else workload().sla)
    further = np.stack([noisy(300.0, 1), noisy(1.5, 2)])
    request = load_shard(noisy(200.0), further, owner, draws)
    (decision,) = decide_shard(request, CONFIG, NOW_S)
    forecast = arrays_of(request, 0)
    apart = inputs_to_bytes(request, 0, decision, CONFIG, NOW_S, forecast)
    needed = forecast_of(apart)
    assert needed is not None
    assert needed.further == ("load_0", "load_1")
    assert decision_bytes(replay_decision(apart, forecast)) == decision_bytes(decision)


def test_pools_take_their_loads_from_one_forecast() -> None:
    paths = np.stack([noisy(100.0), noisy(200.0, 1)])
    request = service(paths, service_response(), two_pools(sla(), spec=8))
    decisions = decide_shard(request, CONFIG, NOW_S)
    forecast = ForecastArrays(paths, ("tokens",))
    apart = inputs_to_bytes(request, 1, decisions[1], CONFIG, NOW_S, forecast)
    needed = forecast_of(apart)
    assert needed is not None
    assert needed.has_pools
    again = replay_service(apart, forecast)
    assert [decision_bytes(one) for one in again] == [decision_bytes(one) for one in decisions]
    assert decision_bytes(replay_decision(apart, forecast)) == decision_bytes(decisions[1])


def long_history() -> History:
    changes = tuple((NOW_S - 60.0 * back, back % 3 - 1) for back in range(60, 0, -1))
    counts = tuple((NOW_S - 60.0 * back, 10 + back % 5) for back in range(60, 0, -1))
    demand = np.array([100.0, np.nan, 90.0] * 48)
    return History(demand, NOW_S, changes, counts)


def windowed(**changes: object) -> WorkloadInput:
    policies = (RatePolicy("Pods", 3, 120.0), RatePolicy("Percent", 50, 600.0))
    up, down = DirectionRules(0.0, "Max", policies), DirectionRules(300.0, "Min", policies[:1])
    given = workload(limits=Limits(1, 60, up, down), history=long_history())
    return replace(given, **changes)


def stored(request: ShardRequest) -> History:
    (decision,) = decide_shard(request, CONFIG, NOW_S)
    blob = inputs_to_bytes(request, 0, decision, CONFIG, NOW_S)
    assert decision_bytes(replay_decision(blob)) == decision_bytes(decision)
    return inputs_from_bytes(blob)[0].workloads[0].history


def test_of_the_history_a_planned_decision_keeps_what_it_looks_at() -> None:
    found = stored(shard(noisy(150.0), [windowed()]))
    assert [n for at, n in found.changes] == [n for at, n in long_history().changes[-9:]]
    assert found.recommendations == long_history().recommendations[-4:]
    np.testing.assert_array_equal(found.demand, [90.0])


@pytest.mark.parametrize(
    "changes", [{"forecast_rung": ""}, {"is_model_trusted": False, "trust_reason": "worse"}]
)
def test_below_the_forecast_all_of_the_demand_counts(changes: dict[str, object]) -> None:
    found = stored(shard(noisy(150.0), [windowed(**changes)]))
    np.testing.assert_array_equal(found.demand, long_history().demand)


@given(
    seed=st.integers(0, 10_000),
    level=st.floats(1.0, 500.0),
    age=st.integers(0, 5),
    unknown=st.integers(0, 8),
)
@settings(max_examples=25, deadline=None)
def test_what_is_left_out_changes_no_decision(
    seed: int, level: float, age: int, unknown: int
) -> None:
    rng = np.random.default_rng(seed)
    demand = rng.uniform(0.0, 2.0 * level, 8)
    demand[8 - unknown :] = np.nan
    history = replace(long_history(), demand=demand)
    owner = windowed(history=history, forecast_origin_s=NOW_S - (1 + age) * STEP_S)
    stored(shard(noisy(level, seed), [owner]))


def test_demand_that_was_never_known_is_kept_as_unknown() -> None:
    owner = windowed(history=observed(np.nan, np.nan))
    assert stored(shard(noisy(150.0), [owner])).demand.size == 0
