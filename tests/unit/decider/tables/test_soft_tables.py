"""Tables of workloads with a response: exact expectations, quick, and sharp in the limit."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.special import expit

from decider import Limits, MissDraws, ReplicaState
from decider.belief.misses import bad_probability
from decider.tables.candidates import candidate_range
from decider.tables.pairing import Spreading
from decider.tables.scenarios import make_scenarios, step_tables
from decider.tables.soft_response import soft_responses, top_need
from decider.tables.soft_tables import soften
from decider.types import RISK_KINDS, RiskKind, ShardRequest
from tests.unit.decider.shards import noisy, workload
from tests.unit.decider.tables.soft_cases import (
    N_DRAWS,
    brute_force,
    response,
    sla,
    soft_shard,
)

kinds = pytest.mark.parametrize("kind", RISK_KINDS)


def tables(request: ShardRequest, n_pairs: int = 1):
    """Grid, sharp tables and soft ones."""
    scenarios = make_scenarios(request, request.paths, Spreading(n_pairs, 0.5))
    soft = soft_responses(request)
    grid = candidate_range(
        request.workloads, scenarios.need, 64, top_need=top_need(soft, scenarios.demand)
    ).grid()
    sharp = step_tables(scenarios, grid)
    return scenarios, grid, sharp, soften(soft, scenarios, grid, sharp)


@given(
    seed=st.integers(0, 1000),
    kind=st.sampled_from(RISK_KINDS),
    slope=st.sampled_from([1.5, 8.0, 40.0, 3e3]),
    concentration=st.sampled_from([0.5, 20.0, 1e4]),
    n_requests=st.sampled_from([1.0, 30.0, np.inf]),
)
@settings(max_examples=25, deadline=None)
def test_they_are_what_brute_force_says(
    seed: int, kind: RiskKind, slope: float, concentration: float, n_requests: float
) -> None:
    paths = noisy(100.0, seed, n_paths=20, horizon=3, cv=0.3)
    paths[:5, 1] = 0.0
    owner = workload(
        sla=sla(kind),
        limits=Limits(0, 400),
        replicas=ReplicaState(0, 0),
        requests_per_step=n_requests,
    )
    draws = response(seed, slope=slope, concentration=concentration)
    request = soft_shard(paths, [draws], [owner])
    scenarios, grid, sharp, found = tables(request)
    violation, unmet = brute_force(request, scenarios, 0, grid.counts[0])
    np.testing.assert_allclose(found.violation[0], violation, atol=1e-3)
    np.testing.assert_allclose(found.unmet[0], unmet, atol=1e-3)
    assert np.array_equal(found.shortage, sharp.shortage)
    assert (np.diff(found.violation[0], axis=1) <= 0).all()
    assert (np.diff(found.unmet[0], axis=1) <= 0).all()


@kinds
def test_without_demand_nothing_and_without_replicas_everything_is_missed(kind: RiskKind) -> None:
    owner = workload(sla=sla(kind), limits=Limits(0, 40), replicas=ReplicaState(0, 0))
    paths = noisy(50.0, n_paths=12, horizon=3)
    paths[:, 1] = 0.0
    paths[:3, 2] = 0.0
    _, grid, _, found = tables(soft_shard(paths, [response()], [owner]))
    assert grid.counts[0, 0] == 0
    assert found.violation[0, :, 0] == pytest.approx([1.0, 0.0, 0.75])
    assert (found.violation[0, 1] == 0.0).all()
    assert found.unmet[0, :, 0].sum() == pytest.approx(3.0)


@kinds
def test_a_steep_sure_response_is_a_sharp_edge(kind: RiskKind) -> None:
    """Endless slope, no floor, endless concentration."""
    rng = np.random.default_rng(3)
    paths = noisy(100.0, 5, n_paths=40, horizon=4, cv=0.3)
    capacity = 10.0 * np.exp(0.2 * rng.standard_normal(N_DRAWS))
    endless = np.full(N_DRAWS, 1e7)
    draws = MissDraws(capacity, endless, np.zeros(N_DRAWS), endless)
    _, _, sharp, found = tables(soft_shard(paths, [draws], [workload(sla=sla(kind))]), n_pairs=3)
    np.testing.assert_allclose(found.violation, sharp.violation, atol=1e-3)
    np.testing.assert_allclose(found.unmet, sharp.unmet, atol=1e-3)


@kinds
def test_permuting_the_paths_within_steps_changes_no_marginal_promise(kind: RiskKind) -> None:
    """With one draw; draws that differ are paired with other loads, as capacity draws are."""
    paths = noisy(100.0, 5, n_paths=60, horizon=4, cv=0.3)
    mixed = np.random.default_rng(0).permuted(paths, axis=0)
    draws, owner = response(spread=0.0), workload(sla=sla(kind))
    first, second = (tables(soft_shard(p, [draws], [owner]))[3] for p in (paths, mixed))
    np.testing.assert_allclose(first.violation, second.violation, atol=1e-5)
    np.testing.assert_allclose(first.unmet, second.unmet, atol=1e-5)


@kinds
def test_a_row_is_the_same_in_any_company(kind: RiskKind) -> None:
    levels = [30.0, 100.0, 900.0]
    paths = np.stack([noisy(level, i, n_paths=30) for i, level in enumerate(levels)])
    owners = [workload(f"w{i}", sla=sla(kind), limits=Limits(0, 3000)) for i in range(3)]
    drawn = [response(1), None, response(2, concentration=500.0)]
    together = tables(soft_shard(paths, drawn, owners))
    for row in range(3):
        alone = tables(soft_shard(paths[row], [drawn[row]], [owners[row]]))
        size = alone[1].counts.shape[1]
        for name in ("violation", "unmet"):
            ours = getattr(together[3], name)[row, :, :size]
            assert np.array_equal(ours, getattr(alone[3], name)[0]), name
    assert np.array_equal(together[3].violation[1], together[2].violation[1])


@kinds
@pytest.mark.parametrize("epsilon", [0.001, 0.05])
def test_the_top_candidate_risks_next_to_nothing(kind: RiskKind, epsilon: float) -> None:
    owner = workload(sla=sla(kind, epsilon), limits=Limits(1, 100_000))
    _, grid, _, found = tables(soft_shard(noisy(100.0, cv=0.3), [response()], [owner]))
    table = found.unmet if kind == "DemandFraction" else found.violation
    assert (table[0, :, grid.last[0]] <= 0.1 * epsilon * 1.2).all()
    assert grid.counts[0, grid.last[0]] > make_scenarios_need(owner.sla.kind)


def make_scenarios_need(kind: RiskKind) -> float:
    request = soft_shard(noisy(100.0, cv=0.3), [response()], [workload(sla=sla(kind))])
    return float(make_scenarios(request, request.paths).need.max()) * 0.5


def test_the_top_stays_within_the_bounds() -> None:
    owner = workload(sla=sla(epsilon=0.001), limits=Limits(1, 17))
    _, grid, _, _ = tables(soft_shard(noisy(100.0, cv=0.3), [response()], [owner]))
    assert grid.counts[0][grid.is_allowed[0]].max() == 17


def test_without_a_response_the_tables_are_the_very_same() -> None:
    _, _, sharp, found = tables(soft_shard(noisy(100.0), [None]))
    assert found is sharp


@kinds
def test_a_share_costs_less_than_its_formula(kind: RiskKind) -> None:
    """A ratio, since machines differ: a share costs a fraction of its formula's."""
    n = 24
    paths = np.stack([noisy(300.0, i, horizon=12, cv=0.2) for i in range(n)])
    owners = [workload(f"w{i}", sla=sla(kind), limits=Limits(1, 2000)) for i in range(n)]
    request = soft_shard(paths, [response(i, n_draws=64) for i in range(n)], owners)
    scenarios = make_scenarios(request, request.paths, Spreading(3, 0.5))
    soft = soft_responses(request)
    grid = candidate_range(
        request.workloads, scenarios.need, 64, top_need=top_need(soft, scenarios.demand)
    ).grid()
    sharp = step_tables(scenarios, grid)
    soft_s = spent(lambda: soften(soft, scenarios, grid, sharp))
    n_shares = scenarios.demand.size * float(grid.last.mean() + 1.0)
    log_odds = np.linspace(-9.0, 3.0, 20_000)
    if kind == "DemandFraction":
        formula_s, most = spent(lambda: expit(log_odds)), 1.0
    else:
        formula_s, most = spent(lambda: bad_probability(log_odds, np.array(60.0), 0.05)), 0.02
    assert soft_s / n_shares < most * formula_s / log_odds.size


def spent(call: Callable[[], object]) -> float:
    """Least processor seconds of three calls."""
    best = np.inf
    for _ in range(3):
        begun = time.process_time()
        call()
        best = min(best, time.process_time() - begun)
    return best
