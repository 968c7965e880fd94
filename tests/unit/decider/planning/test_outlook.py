"""A shard planned, without churn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from decider import DecideConfig, ReplicaState, decide_shard
from tests.unit.decider.shards import NOW_S, shard, workload


def test_constant_load_never_churns() -> None:
    config = DecideConfig()
    owner, changes = workload(), []
    for _ in range(60):
        (decision,) = decide_shard(shard(np.full((100, 6), 95.0), [owner]), config, NOW_S)
        changes.append(decision.final - decision.current)
        n = decision.final
        risk = replace(owner.risk, log_multiplier=decision.next_log_multiplier)
        owner = replace(owner, replicas=ReplicaState(n, n), risk=risk)
    assert owner.replicas.spec == 10
    assert not any(changes[1:])
