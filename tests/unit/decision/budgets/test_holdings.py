"""A workload without a claim is taken to give way evenly, from what it holds to its minimum."""

from __future__ import annotations

import numpy as np
from hypothesis import given, strategies as st

from decider import PRICES
from services.decision.budgets.holdings import presumed


@given(held=st.integers(0, 500), least=st.integers(0, 500))
def test_demand_falls_from_what_is_held_to_the_minimum(held: int, least: int) -> None:
    low = min(held, least)
    demand = presumed(held, low)
    assert (demand[0], demand[-1], demand.size) == (held, low, PRICES.size)
    steps = -np.diff(demand)
    assert steps.min() >= 0
    assert steps.max() - steps.min() <= 1
