"""A shard planned: the least count that keeps the level, without churn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from decider import DecideConfig, ReplicaState, Sla, decide_shard
from tests.unit.decider.shards import NOW_S, shard, workload

PLAIN = DecideConfig(reactive_floor_ratio=0.0, n_pairs=1)


@given(seed=st.integers(0, 10_000), epsilon=st.sampled_from([0.01, 0.05, 0.2, 0.5]))
@settings(max_examples=25, deadline=None)
def test_step_sharing_takes_the_least_count_that_keeps_the_level(seed: int, epsilon: float) -> None:
    rng = np.random.default_rng(seed)
    paths = np.repeat(rng.uniform(10, 150, (100, 1)), 5, axis=1)
    config = replace(PLAIN, sharing="step", start_cost_steps=0.0, stop_cost_steps=0.0)
    config = replace(config, shortage_price_ratio=0.0, risk=replace(config.risk, aim_ratio=1.0))
    request = shard(paths, [workload(sla=Sla(epsilon), replicas=ReplicaState(1, 1))])
    (decision,) = decide_shard(request, config, NOW_S)
    risks = [(np.ceil(paths[:, 0] / 10) > k).mean() for k in range(61)]
    assert decision.raw == max(1, next(k for k in range(61) if risks[k] <= epsilon + 1e-12))


@pytest.mark.parametrize("sharing", ["step", "long_run", "horizon"])
def test_constant_load_never_churns(sharing: str) -> None:
    config = replace(DecideConfig(), sharing=sharing)
    owner, changes = workload(), []
    for _ in range(60):
        (decision,) = decide_shard(shard(np.full((100, 6), 95.0), [owner]), config, NOW_S)
        changes.append(decision.final - decision.current)
        n = decision.final
        risk = replace(owner.risk, log_multiplier=decision.next_log_multiplier)
        owner = replace(owner, replicas=ReplicaState(n, n), risk=risk)
    assert owner.replicas.spec == 10
    assert not any(changes[1:])
