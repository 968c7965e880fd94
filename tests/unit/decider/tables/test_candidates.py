"""Candidate grids hold the counts worth considering."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from decider import DecideConfig, ReplicaState, decide_shard
from decider.types import Limits
from tests.unit.decider.shards import NOW_S, noisy, shard, workload

PLAIN = DecideConfig(reactive_floor_ratio=0.0, n_pairs=1)


def test_a_coarse_grid_serves_wide_ranges_within_bounds() -> None:
    paths = noisy(50_000.0, cv=0.3)
    owner = workload(replicas=ReplicaState(10, 10), limits=Limits(1, 20_000))
    (decision,) = decide_shard(shard(paths, [owner]), replace(PLAIN, max_candidates=32), NOW_S)
    need = np.quantile(np.ceil(paths / 10), 0.99)
    assert need * 0.8 <= decision.final <= need * 1.3
