"""Risks of loads and loads of risks under a response."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from decider import MissDraws
from decider.errors import InvalidRequest
from decider.tables.soft_response import Soft, floor_loads, soft_responses
from decider.types import RISK_KINDS, RiskKind
from tests.unit.decider.shards import noisy, workload
from tests.unit.decider.tables.soft_cases import response, sla, soft_shard


@given(seed=st.integers(0, 100), kind=st.sampled_from(RISK_KINDS))
@settings(max_examples=20, deadline=None)
def test_the_load_at_a_risk_has_just_that_risk(seed: int, kind: RiskKind) -> None:
    one = soft_of(response(seed), kind)
    for risk in (0.001, 0.01, 0.5):
        load = one.load_at(risk)
        at, above = one.risk(np.log(load * np.array([1.0, 1.01])))
        assert at <= risk <= above + 1e-3


def test_a_spread_posterior_serves_less_at_small_risks_than_its_mean() -> None:
    spread, sure = (soft_of(response(4, spread=s, n_draws=64)) for s in (1.0, 0.0))
    assert spread.load_at(0.001) < sure.load_at(0.001)


def soft_of(draws: MissDraws, kind: RiskKind = "DemandFraction") -> Soft:
    return soft_responses(soft_shard(noisy(50.0), [draws], [workload(sla=sla(kind))]))[0]


@pytest.mark.parametrize("kind", RISK_KINDS)
def test_the_floor_counts_on_a_load_that_keeps_the_promise_in_expectation(kind: RiskKind) -> None:
    one = soft_of(response(4), kind)
    load = floor_loads({1: one}, np.array([10.0, 1e9]))
    assert load[0] == 10.0
    most = 0.01 if kind == "DemandFraction" else 0.5
    assert one.risk(np.log(load[1:])) == pytest.approx(most, rel=0.01)
    assert floor_loads({0: one}, np.array([0.1]))[0] == 0.1


def test_workloads_of_one_objective_share_their_tables() -> None:
    owners = [workload(f"w{i}", sla=sla("TimeFraction")) for i in range(3)]
    paths = np.stack([noisy(50.0)] * 3)
    found = soft_responses(soft_shard(paths, [response(1), None, response(2)], owners))
    assert sorted(found) == [0, 2]
    assert found[0].bad is found[2].bad


def test_any_bad_step_of_joint_paths_is_counted_once() -> None:
    """Against single steps and by hand: given a draw, steps scatter on their own."""
    one, rng = soft_of(response(2), "AnyInWindow"), np.random.default_rng(3)
    demand, ready = 80.0 * np.exp(0.3 * rng.standard_normal((40, 3))), np.array([10, 12, 14])
    demand[0] = 0.0
    alone = [one.any_bad(demand[:, [h]], ready[[h]]) for h in range(3)]
    joint = one.any_bad(demand, ready)
    assert max(alone) <= joint <= sum(alone)
    assert one.any_bad(np.repeat(demand[:1], 8, axis=0), np.array([0, 0, 1])) == 0.0
    assert one.any_bad(np.full((8, 2), 80.0), np.array([1000, 0])) == 1.0
    same = soft_of(response(2, spread=0.0), "AnyInWindow")
    single = same.any_bad(np.full((8, 1), 85.0), ready[:1])
    twice = same.any_bad(np.full((8, 2), 85.0), ready[[0, 0]])
    assert twice == pytest.approx(1.0 - (1.0 - single) ** 2)


def test_any_bad_step_is_nothing_to_a_promise_of_requests() -> None:
    with pytest.raises(InvalidRequest, match="requests"):
        soft_of(response()).any_bad(np.ones((2, 1)), np.ones(1, dtype=np.int64))
