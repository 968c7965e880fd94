"""Pools keep one promise by their joint risk: laws against brute force and against two planners."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings, strategies as st

from decider import (
    DecideConfig,
    Decision,
    Hardware,
    Limits,
    ReplicaState,
    RiskState,
    ShardRequest,
    Sla,
    decide_shard,
)
from decider.planning.outlook import Outlook, look_ahead
from decider.planning.plan import Plan
from decider.planning.utility import Judged, SearchConfig, plan_risk, search_multiplier
from decider.tables.pool_scenarios import PoolScenarios
from decider.types import RiskKind
from tests.unit.decider.pool_cases import (
    brute_risk,
    service,
    service_response,
    standings,
    two_pools,
)
from tests.unit.decider.shards import NOW_S, noisy
from tests.unit.decider.tables.soft_cases import sla

CONFIG = DecideConfig(reactive_floor_ratio=0.0)
FREE = replace(CONFIG, start_cost_steps=0.0, stop_cost_steps=0.0)
kinds = pytest.mark.parametrize("kind", ["DemandFraction", "TimeFraction"])


def outlook_of(request: ShardRequest, config: DecideConfig = CONFIG) -> Outlook:
    return look_ahead(request, standings(request, config), config)


def halves(request: ShardRequest) -> list[Decision]:
    """Two planners with half the promise each: the arm to compare with."""
    owners = tuple(
        replace(w, pool=None, sla=replace(w.sla, epsilon=(w.sla.epsilon or 0.0) / 2.0))
        for w in request.workloads
    )
    alone = replace(
        request,
        workloads=owners,
        responses=tuple(r for r in map(request.response, range(2)) if r is not None),
    )
    return list(decide_shard(alone, CONFIG, NOW_S))


def total(decisions: list[Decision]) -> int:
    return sum(d.raw for d in decisions)


def planned(decisions: list[Decision]) -> int:
    """Replica-steps of their plans."""
    return sum(sum(d.plan) for d in decisions)


@given(
    seed=st.integers(0, 10_000),
    kind=st.sampled_from(["DemandFraction", "TimeFraction"]),
    epsilon=st.sampled_from([0.01, 0.05]),
    cv=st.sampled_from([0.1, 0.3]),
    scale=st.sampled_from([0.5, 1.0, 1.5]),
)
@settings(max_examples=25, deadline=None)
def test_loads_that_move_together_never_need_more_than_two_halves(
    seed: int, kind: RiskKind, epsilon: float, cv: float, scale: float
) -> None:
    """Over the plan, where both halves can be kept; counts are whole, which takes up to 3 %."""
    one = noisy(200.0, seed, cv=cv)
    paths = np.stack([one, scale * one])
    request = service(paths, None, two_pools(sla(kind, epsilon), spec=25))
    together, apart = list(decide_shard(request, CONFIG, NOW_S)), halves(request)
    assume(not any(half.is_short for half in apart))
    assert planned(together) <= 1.06 * planned(apart)


@kinds
def test_independent_loads_need_no_more_than_two_halves_in_the_mean(kind: RiskKind) -> None:
    """In the mean: a single price may leave some of a small promise unspent."""
    more = []
    for seed in range(0, 24, 2):
        paths = np.stack([noisy(200.0, seed, cv=0.3), noisy(200.0, seed + 1, cv=0.3)])
        request = service(paths, None, two_pools(sla(kind, 0.05), spec=25))
        more.append(total(list(decide_shard(request, CONFIG, NOW_S))) - total(halves(request)))
    assert np.mean(more) <= 0.0


@kinds
def test_loads_that_move_together_need_less_than_two_halves(kind: RiskKind) -> None:
    one = noisy(400.0, 5, n_paths=400, cv=0.4)
    request = service(np.stack([one, one]), None, two_pools(sla(kind, 0.05), spec=60, most=200))
    together = list(decide_shard(request, CONFIG, NOW_S))
    assert total(together) < total(halves(request))


@kinds
def test_the_joint_risk_of_independent_loads_is_that_of_joint_paths(kind: RiskKind) -> None:
    paths = np.stack([noisy(100.0, 1, n_paths=300, cv=0.3), noisy(100.0, 2, n_paths=300, cv=0.3)])
    owners = two_pools(sla(kind), spec=13)
    drawn = service_response(2)
    drawn = replace(drawn, further=drawn.further / 2.0)
    request = service(paths, drawn, owners, lead_s=0.0)
    outlook = outlook_of(request)
    counts = np.array([14, 13], dtype=np.int64)
    found = outlook.risk_at(counts)
    expected = brute_risk(request, outlook.scenarios, counts.astype(float), kind)[0]
    assert found[0] == found[1] == pytest.approx(expected, rel=0.01)
    fresh = [np.random.default_rng(s).permutation(paths[1]) for s in range(8)]
    others = [
        outlook_of(service(np.stack([paths[0], p]), drawn, owners, lead_s=0.0)).risk_at(counts)[0]
        for p in fresh
    ]
    assert abs(found[0] - np.mean(others)) < 4.0 * np.std(others)


def test_which_paths_belong_together_is_what_the_joint_risk_knows() -> None:
    one = noisy(100.0, 3, n_paths=400, cv=0.4)
    apart = np.random.default_rng(0).permutation(one)
    counts = np.array([16, 16], dtype=np.int64)
    drawn = service_response(1)
    drawn = replace(drawn, further=drawn.capacity[:, None], sharing=np.full(8, 20.0))
    risks = [
        outlook_of(service(np.stack([one, other]), drawn, two_pools(sla()))).risk_at(counts)[0]
        for other in (one, apart)
    ]
    assert risks[0] < 0.9 * risks[1]


@kinds
@pytest.mark.parametrize("is_soft", [False, True])
def test_a_pool_without_load_goes_to_its_minimum_and_the_other_keeps_the_promise(
    kind: RiskKind, is_soft: bool
) -> None:
    paths = np.stack([noisy(200.0, 4, cv=0.3), np.zeros((200, 6))])
    drawn = service_response(4) if is_soft else None
    watched = RiskState(observed_steps=100.0)  # long enough to be scaled in without a response
    request = service(paths, drawn, two_pools(sla(kind), spec=30, risk=watched))
    first, second = decide_shard(request, FREE, NOW_S)
    assert second.final == 1
    (alone,) = decide_shard(
        replace(
            request,
            workloads=(replace(request.workloads[0], pool=None),),
            paths=request.paths[:1],
            capacity_draws=request.capacity_draws[:1],
            lead_time_draws_s=request.lead_time_draws_s[:1],
            responses=tuple(r for r in [request.response(0)] if r is not None),
        ),
        FREE,
        NOW_S,
    )
    assert first.final == alone.final
    assert first.risk_after == second.risk_after == pytest.approx(alone.risk_after, rel=1e-3)


@given(
    seed=st.integers(0, 10_000),
    epsilon=st.sampled_from([0.01, 0.1]),
    sharing=st.sampled_from([1.0, 3.0, 40.0]),
)
@settings(max_examples=15, deadline=None)
def test_the_first_price_keeps_the_joint_risk_of_the_plans_within_the_level(
    seed: int, epsilon: float, sharing: float
) -> None:
    paths = np.stack([noisy(100.0, seed, cv=0.3), noisy(100.0, seed + 1, cv=0.3)])
    drawn = replace(service_response(seed), sharing=np.full(8, sharing))
    request = service(paths, drawn, two_pools(sla("DemandFraction", epsilon), most=300))
    config = replace(CONFIG, first_step_ratio=100.0)
    outlook = outlook_of(request, config)
    one = outlook.services[0]
    counts = np.take_along_axis(outlook.grid.counts, outlook.plan.index, axis=1)
    assert outlook.multiplier[0] == outlook.multiplier[1]
    assert one.plan(outlook.plan.mean_risk, counts, one.all_terms()) <= outlook.level[0] + 1e-9


def test_pools_share_risk_and_price_and_carry_them_on_together() -> None:
    paths = np.stack([noisy(100.0, 1, cv=0.3), noisy(300.0, 2, cv=0.3)])
    owners = two_pools(sla(), spec=20)
    owners = [replace(w, risk=replace(w.risk, log_multiplier=3.0)) for w in owners]
    first, second = decide_shard(service(paths, service_response(1), owners), CONFIG, NOW_S)
    for name in (
        *("risk_target", "risk_level", "risk_before", "risk_after", "risk_committed"),
        *("log_multiplier", "next_log_multiplier"),
    ):
        assert getattr(first, name) == getattr(second, name), name
    assert first.next_log_multiplier != 3.0


@pytest.mark.parametrize("kind", ["DemandFraction", "TimeFraction"])
def test_the_price_of_pools_moves_more_while_few_steps_are_known(kind: RiskKind) -> None:
    """Of a promise of requests: pools of a few replicas each begin with too low a price."""
    paths = np.stack([noisy(100.0, 1, cv=0.3), noisy(300.0, 2, cv=0.3)])
    owners, moves = two_pools(sla(kind), spec=20), []
    for n_steps in (0.0, 9.0, 1e6):
        state = RiskState(log_multiplier=3.0, observed_steps=n_steps)
        asked = [replace(w, risk=state) for w in owners]
        made = decide_shard(service(paths, service_response(1), asked), CONFIG, NOW_S)[0]
        assert made.next_log_multiplier is not None
        moves.append(abs(made.next_log_multiplier - 3.0))
    if kind == "DemandFraction":
        assert moves[0] > 1.5 * moves[1] > 3.0 * moves[2] > 0.0
    else:
        assert moves[1] == moves[0]


def test_it_is_never_less_than_that_of_one_pool_alone_and_falls_with_replicas() -> None:
    paths = np.stack([noisy(100.0, 7, cv=0.3), noisy(100.0, 8, cv=0.3)])
    states = [ReplicaState(16, 12, (30.0, 200.0), (10.0,)), ReplicaState(14, 14)]
    owners = [replace(w, replicas=state) for w, state in zip(two_pools(sla()), states, strict=True)]
    request = service(paths, service_response(2), owners, lead_s=np.array([[90.0], [400.0]]))
    outlook = outlook_of(request)
    before = np.inf
    for n in range(8, 30):
        counts = np.array([n, n + 1], dtype=np.int64)
        index = outlook.grid.index_of(counts)
        alone = np.take_along_axis(outlook.charge, index[:, None], axis=1)
        (joint, same) = outlook.risk_at(counts)
        assert joint == same
        assert alone.max() <= joint <= before + 1e-9
        before = joint


def test_the_dearer_pool_spends_less_on_the_promise() -> None:
    """A price of risk in one currency: loads alike, but a replica costs eight times as much."""
    paths = np.stack([noisy(200.0, 1, n_paths=400, cv=0.4)] * 2)
    owners = two_pools(sla("TimeFraction", 0.05), spec=30, most=100)
    owners[0] = replace(owners[0], hardware=Hardware("H100", 8, 2.5))
    dear, cheap = decide_shard(service(paths, None, owners), FREE, NOW_S)
    assert dear.raw < cheap.raw


def test_any_in_window_is_searched_over_the_pools_together() -> None:
    one = noisy(200.0, 5, n_paths=400, cv=0.3)
    apart = np.random.default_rng(1).permutation(one)
    found = [
        total(
            list(
                decide_shard(
                    service(
                        np.stack([one, other]), None, two_pools(Sla(0.1, "AnyInWindow"), spec=25)
                    ),
                    replace(CONFIG, revision=2),
                    NOW_S,
                )
            )
        )
        for other in (one, apart)
    ]
    assert found[0] < found[1]


@pytest.mark.parametrize("sharing", [1.0, 5.0, 30.0])
@pytest.mark.parametrize("seed", range(2))
def test_the_plan_is_near_the_cheapest_pair_of_counts_that_keeps_the_level(
    sharing: float, seed: int
) -> None:
    """Steady loads: every pair is tried by brute force."""
    config = replace(FREE, first_step_ratio=1000.0)
    steady = [
        np.repeat(noisy(level, seed + i, n_paths=200, cv=0.3, horizon=1), 4, axis=1)
        for i, level in enumerate((100.0, 400.0))
    ]
    drawn = replace(service_response(seed), sharing=np.full(8, sharing))
    owners = two_pools(sla("DemandFraction", 0.02), spec=15, most=400)
    request = service(np.stack(steady), drawn, owners, lead_s=0.0)
    outlook = outlook_of(request, config)
    grid, joint = outlook.grid, outlook.services[0].scenarios
    pairs = np.array(
        [
            (a, b)
            for a in grid.counts[0, : grid.last[0] + 1]
            for b in grid.counts[1, : grid.last[1] + 1]
        ],
        dtype=float,
    )
    risk = joint.risk(np.zeros(len(pairs), dtype=np.int64), pairs)
    best = pairs[risk <= outlook.level[0]].sum(axis=1).min()
    planned = sum(np.mean(d.plan) for d in decide_shard(request, config, NOW_S))
    assert best <= planned <= 1.08 * best + 1.0


@pytest.mark.parametrize("is_soft", [False, True])
def test_a_pool_at_its_most_does_not_drive_the_other_to_any_price(is_soft: bool) -> None:
    one = noisy(200.0, 3, cv=0.3)
    drawn = None
    if is_soft:
        drawn = service_response(1)
        drawn = replace(drawn, further=drawn.capacity[:, None])
    owners = two_pools(sla("TimeFraction", 0.05), spec=25, most=200)
    kept = decide_shard(service(np.stack([one, one]), drawn, owners), CONFIG, NOW_S)
    owners[1] = replace(owners[1], limits=Limits(1, 22))
    first, second = decide_shard(service(np.stack([one, one]), drawn, owners), CONFIG, NOW_S)
    assert second.final == 22
    assert first.next_log_multiplier == second.next_log_multiplier
    assert first.risk_level is not None
    assert first.risk_level < (first.risk_after or 0.0)
    assert first.raw <= kept[0].raw


def _searches(request: ShardRequest, limit: float) -> tuple[np.ndarray, list[np.ndarray]]:
    """Prices, and the risks of the plans judged; exact where they are below the limit at least."""
    outlook = outlook_of(request)
    rows = np.arange(len(request.workloads))
    judged = Judged(outlook.scenarios, {}, outlook.services)
    lead = np.zeros(rows.size, dtype=np.int64)
    risk_of = plan_risk(request, outlook.grid, judged, lead, rows)
    seen = []

    def judge(plan: Plan, asked: np.ndarray) -> np.ndarray:
        risk = risk_of(plan, np.maximum(asked, limit))
        seen.append(risk)
        return risk

    is_broken = np.zeros(rows.size, dtype=bool)
    search = SearchConfig(CONFIG.n_multipliers, CONFIG.n_bisections, CONFIG.max_multiplier)
    found = search_multiplier(outlook.program, judge, outlook.level, is_broken, search)
    return found, seen


@given(
    seed=st.integers(0, 10_000),
    epsilon=st.sampled_from([0.01, 0.05]),
    kind=st.sampled_from(["DemandFraction", "TimeFraction"]),
    sharing=st.sampled_from([None, 1.0, 5.0, 40.0]),
)
@settings(max_examples=15, deadline=None)
def test_a_search_that_looks_away_finds_the_price_of_one_that_looks_everywhere(
    seed: int, epsilon: float, kind: RiskKind, sharing: float | None
) -> None:
    paths = np.stack([noisy(100.0, seed, cv=0.3), noisy(150.0, seed + 1, cv=0.3)])
    drawn = service_response(seed)
    drawn = None if sharing is None else replace(drawn, sharing=np.full(8, sharing))
    request = service(paths, drawn, two_pools(sla(kind, epsilon), most=300))
    lazy, _ = _searches(request, -np.inf)
    thorough, exact = _searches(request, np.inf)
    assert np.array_equal(lazy, thorough)
    assert all(risk[0] == risk[1] for risk in exact)


@pytest.mark.parametrize(("revision", "most"), [(1, 60), (2, 180)])
@pytest.mark.parametrize("is_soft", [False, True])
def test_the_first_price_is_found_with_few_joint_risks(
    monkeypatch: pytest.MonkeyPatch, is_soft: bool, revision: int, most: int
) -> None:
    """By their number, not by time: looking at all 20 plans of the search would take 103.

    Where candidates of a wide range lie around what is chosen, it is searched three times here.
    """
    n_found = []
    find = PoolScenarios.risk

    def counted(self: PoolScenarios, steps: np.ndarray, counts: np.ndarray) -> np.ndarray:
        n_found.append(steps.size)
        return find(self, steps, counts)

    monkeypatch.setattr(PoolScenarios, "risk", counted)
    paths = np.stack([noisy(200.0, 1, cv=0.3), noisy(400.0, 2, cv=0.3)])
    drawn = service_response(1) if is_soft else None
    request = service(paths, drawn, two_pools(sla(), spec=30, most=200))
    decide_shard(request, replace(CONFIG, revision=revision), NOW_S)
    assert 0 < sum(n_found) <= most
