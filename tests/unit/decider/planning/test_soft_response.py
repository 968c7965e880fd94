"""Risks of loads and loads of risks under a response."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from decider import MissDraws
from decider.planning.soft_response import Soft, floor_loads, soft_responses
from decider.types import RISK_KINDS, RiskKind
from tests.unit.decider.planning.soft_cases import response, sla, soft_shard
from tests.unit.decider.shards import noisy, workload


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
