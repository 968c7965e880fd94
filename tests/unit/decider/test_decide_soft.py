"""Decisions of workloads with a response: laws of counts, company and floors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from decider import (
    DecideConfig,
    Limits,
    MissDraws,
    Reason,
    ReplicaState,
    ShardRequest,
    VariantSet,
    decide_shard,
)
from decider.planning.fallback import DecisionTime, Standing, stand
from decider.planning.outlook import look_ahead
from decider.planning.plan import first_charge
from decider.stored.inputs import inputs_to_bytes
from decider.stored.replay import decision_bytes, replay_decision
from decider.types import RISK_KINDS, RiskKind
from tests.unit.decider.shards import (
    NOW_S,
    assert_limits_hold,
    drawn_workload,
    noisy,
    observed,
    shard,
    workload,
)
from tests.unit.decider.tables.soft_cases import response, sla, soft_shard
from tests.unit.decider.variant_sets import h100, l4

CONFIG = DecideConfig()
epsilons = st.sampled_from([0.001, 0.05, 0.5, None])
kinds = pytest.mark.parametrize("kind", RISK_KINDS)


def owner(kind: RiskKind, epsilon: float | None = 0.01, **changes):
    return workload(sla=sla(kind, epsilon), limits=Limits(1, 500), **changes)


def raw(kind: RiskKind, draws: MissDraws, epsilon: float = 0.01, level: float = 100.0) -> int:
    given = soft_shard(noisy(level, cv=0.15), [draws], [owner(kind, epsilon)])
    return decide_shard(given, CONFIG, NOW_S)[0].raw


@kinds
def test_a_stricter_promise_never_asks_for_less(kind: RiskKind) -> None:
    counts = [raw(kind, response(), epsilon) for epsilon in (0.001, 0.01, 0.05, 0.2)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1]


@kinds
def test_a_spread_posterior_asks_for_at_least_as_many_as_its_mean(kind: RiskKind) -> None:
    draws = response(5, n_draws=64)
    mean = MissDraws(*(np.full(64, float(column.mean())) for column in draws.to_array().T))
    assert raw(kind, draws, 0.002) >= raw(kind, mean, 0.002)


@kinds
def test_a_sharp_response_is_decided_on_as_its_capacity_by_the_same_paths(kind: RiskKind) -> None:
    capacity = 10.0 * np.exp(0.1 * np.random.default_rng(0).standard_normal(8))
    endless = np.full(8, 1e8)
    draws = MissDraws(capacity, endless, np.zeros(8), endless)
    paths = noisy(150.0, cv=0.15)
    soft = decide_shard(soft_shard(paths, [draws], [owner(kind)]), CONFIG, NOW_S)[0]
    unspread = replace(CONFIG, spread_sigma=0.0)  # as paths are taken where a response is known
    sharp = decide_shard(shard(paths, [owner(kind)], capacity=capacity), unspread, NOW_S)[0]
    assert soft.final == sharp.final
    assert soft.risk_after == pytest.approx(sharp.risk_after, abs=1e-3)


@kinds
def test_the_plan_keeps_its_level_by_brute_expectation(kind: RiskKind) -> None:
    """The chosen count's own tables say that the promise is kept, or nearly: risk moves slowly."""
    given_shard = soft_shard(noisy(100.0, cv=0.1), [response()], [owner(kind, 0.02)])
    (decision,) = decide_shard(given_shard, CONFIG, NOW_S)
    assert decision.expected_misses is not None
    assert decision.expected_misses.by_replicas[decision.final] < 0.02 * 10
    assert decision.risk_after is not None
    assert decision.risk_after < 0.02 * 10


@pytest.mark.slow
@given(seed=st.integers(0, 500), epsilon=st.sampled_from([0.001, 0.02, None]))
@settings(max_examples=15, deadline=None)
def test_a_decision_does_not_depend_on_its_company(seed: int, epsilon: float | None) -> None:
    rng = np.random.default_rng(seed)
    levels = rng.uniform(5, 900, 4)
    paths = np.stack([noisy(level, seed + i) for i, level in enumerate(levels)])
    owners = [
        replace(
            owner(kind, epsilon, requests_per_step=float(rng.choice([3.0, 500.0, np.inf]))),
            workload=f"w{i}",
            history=observed(float(levels[i])),
        )
        for i, kind in enumerate((*RISK_KINDS, "TimeFraction"))
    ]
    drawn = [response(seed), response(seed + 1, slope=30.0), response(seed + 2), None]
    together = decide_shard(soft_shard(paths, drawn, owners), CONFIG, NOW_S)
    for row, decision in enumerate(together):
        alone = soft_shard(paths[row], [drawn[row]], [owners[row]])
        assert decision_bytes(decide_shard(alone, CONFIG, NOW_S)[0]) == decision_bytes(decision)


@kinds
def test_more_replicas_never_raise_the_risk(kind: RiskKind) -> None:
    settled = owner(kind, replicas=ReplicaState(12, 12))
    request = soft_shard(noisy(100.0, cv=0.3), [response()], [settled])
    outlook = look_ahead(request, decide_standing(request), CONFIG)
    charge = first_charge(outlook.program)[0]
    assert (np.diff(charge) <= 1e-9).all()


def decide_standing(request: ShardRequest) -> list[Standing]:
    time = DecisionTime(NOW_S, request.step_s)
    return [
        stand(w, request.paths[i], time, 10.0, CONFIG.fallback)
        for i, w in enumerate(request.workloads)
    ]


@kinds
def test_the_reactive_floor_holds_the_last_demand_in_expectation(kind: RiskKind) -> None:
    """Whatever is forecast: on the floor's count the promise would be kept, one less it is not."""
    draws = response(6)
    seen = owner(kind, history=observed(140.0))
    decision = decide_shard(soft_shard(np.zeros((50, 6)), [draws], [seen]), CONFIG, NOW_S)[0]
    assert decision.reason is Reason.SCALE_UP_REACTIVE_FLOOR
    still = soft_shard(np.full((50, 6), 140.0), [draws], [seen])
    (held,) = decide_shard(still, replace(CONFIG, spread_sigma=0.0), NOW_S)
    assert held.expected_misses is not None
    most = 0.01 if kind == "DemandFraction" else 0.5
    at = look_ahead(still, decide_standing(still), replace(CONFIG, spread_sigma=0.0))
    index = at.grid.row_index(0, np.array([decision.final, decision.final - 1]))
    risk = at.steps.violation[0, 0, index]
    assert risk[0] <= most * 1.05
    assert risk[1] > most * 0.95


@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_limits_and_budgets_hold_with_responses_in_the_mix(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 4))
    owners, rows, drawn = [], [], []
    for i in range(n):
        promise = sla(data.draw(st.sampled_from(RISK_KINDS)), data.draw(epsilons))
        owners.append(drawn_workload(data, f"w{i}", promise))
        rows.append(noisy(data.draw(st.floats(0, 300)), data.draw(st.integers(0, 99)), n_paths=20))
        slope = data.draw(st.sampled_from([0.5, 6.0, 1e4]))
        drawn.append(data.draw(st.sampled_from([None, response(i, slope=slope)])))
    budget = data.draw(st.none() | st.integers(0, 200))
    given_shard = soft_shard(np.stack(rows), drawn, owners, budgets={"L4": budget})
    decisions = decide_shard(given_shard, CONFIG, NOW_S)
    assert_limits_hold(owners, decisions, budget)


@kinds
def test_a_mix_of_variants_is_chosen_and_replayed_under_a_response(kind: RiskKind) -> None:
    variants = VariantSet((h100(10), l4(0)))
    mixed = owner(kind, variants=variants, history=observed(100.0))
    request = soft_shard(noisy(130.0), [response()], [mixed])
    (decision,) = decide_shard(request, CONFIG, NOW_S)
    assert decision.mix is not None
    assert decision.final > 10
    blob = inputs_to_bytes(request, 0, decision, CONFIG, NOW_S)
    assert decision_bytes(replay_decision(blob)) == decision_bytes(decision)
