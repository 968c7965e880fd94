"""Scenario tables are exact: prices alone give the newsvendor quantile."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from decider import DecideConfig, Sla, decide_shard
from decider.types import Limits
from tests.unit.decider.shards import NOW_S, shard, workload

PLAIN = DecideConfig(reactive_floor_ratio=0.0, n_pairs=1)


@given(
    seed=st.integers(0, 10_000),
    price=st.floats(0.2, 20.0),
    n_paths=st.integers(5, 60),
)
@settings(max_examples=25, deadline=None)
def test_prices_alone_give_the_newsvendor_quantile(seed: int, price: float, n_paths: int) -> None:
    """Quantile c_u / (c_u + c_o) with c_o = 1 per idle and c_u = price - 1 per short replica."""
    rng = np.random.default_rng(seed)
    paths = np.repeat(np.ceil(rng.uniform(0.0, 20.0, (n_paths, 1))) * 10.0, 4, axis=1)
    config = replace(PLAIN, shortage_price_ratio=price, start_cost_steps=0.0, stop_cost_steps=0.0)
    request = shard(paths, [workload(sla=Sla(None), limits=Limits(0, 60))], lead_s=0.0)
    (decision,) = decide_shard(request, config, NOW_S)
    need = np.sort(paths[:, 0] / 10.0)
    short_probability = np.array([(need > k).mean() for k in range(22)])
    # The smallest k at which one replica more costs at least what it saves.
    best = int(np.argmax(price * short_probability <= 1.0 + 1e-12))
    costs = [k + price * np.maximum(need - k, 0).mean() for k in range(22)]
    assert costs[decision.raw] == pytest.approx(min(costs), abs=1e-9)
    assert costs[best] == pytest.approx(min(costs), abs=1e-9)
