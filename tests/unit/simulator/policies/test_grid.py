"""Policies of one workload as grids of one setting."""

from __future__ import annotations

from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays

from services.simulator.policies import PolicyInput, Solo
from services.simulator.policies.oracle import OracleGrid
from services.simulator.policies.static_peak import StaticGrid
from services.simulator.policies.trailing_percentile import TrailingPercentileGrid
from tests.unit.simulator.policies.grid_views import DAY_S, once, see

NAN = float("nan")


@given(
    demand=arrays(float, st.integers(0, 30), elements=st.one_of(st.floats(0, 99), st.just(NAN))),
    knobs=st.tuples(st.floats(30, 2000), st.floats(0, 100), st.floats(-0.5, 2)),
)
def test_single_policies_are_grids_of_one(demand, knobs):
    window_s, percentile, margin = knobs
    view = PolicyInput(DAY_S, 60.0, demand, 3, 0, 0, 3, 2.0, 1, 50, future=demand)
    grids = [
        TrailingPercentileGrid(*knobs),
        StaticGrid(percentile, margin),
        OracleGrid(window_s),
    ]
    for grid in grids:
        single = Solo(grid)
        alone = single.decide(view, single.initial_state())[0]
        seen = see(demand[None], future=demand[None], now_s=DAY_S)
        assert isinstance(alone, int)
        assert alone == once(grid, seen)[0, 0]
