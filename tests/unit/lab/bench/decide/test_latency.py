from __future__ import annotations

import numpy as np
import pytest

from decider import DecideConfig, decide_shard
from services.lab.bench.decide.latency import ShardSize, bench_latency, decision_shard


def test_a_shard_is_decided_and_timed() -> None:
    found = bench_latency(ShardSize(16, 50, 6), seed=7)
    assert (found["workloads"], found["paths"], found["steps"]) == (16, 50, 6)
    assert found["scenarios"] == 150
    assert 0 < found["seconds"] <= found["seconds_median"]
    assert found["peak_rss_mib"] > 50


def test_the_same_seed_makes_the_same_shard() -> None:
    first, second = (decision_shard(ShardSize(3, 20, 4), seed=7) for _ in range(2))
    assert (first.paths == second.paths).all()
    assert (first.lead_time_draws_s == second.lead_time_draws_s).all()


@pytest.mark.slow
def test_time_grows_no_faster_than_the_shard() -> None:
    """Eight times the workloads, at most twelve times the CPU seconds: no hidden square."""
    small = bench_latency(ShardSize(32, 100, 12), seed=7)["cpu_s"]
    large = bench_latency(ShardSize(256, 100, 12), seed=7)["cpu_s"]
    assert large <= 12 * small


@pytest.mark.parametrize("loads", [1, 2, 4])
def test_with_several_loads_each_binds_now_and_then(loads: int) -> None:
    request = decision_shard(ShardSize(4, 40, 6, loads, has_responses=True), seed=7)
    decisions = decide_shard(request, DecideConfig(), 0.0)
    assert all(d.expected_misses is not None for d in decisions)
    assert all(len(d.bound_by) == (0 if loads == 1 else loads) for d in decisions)
    if loads > 1:
        assert (np.mean([d.bound_by for d in decisions], axis=0) > 0.02).all()


def test_known_quantiles_are_timed_beside_the_paths_alone() -> None:
    found = bench_latency(ShardSize(16, 50, 6, has_quantiles=True), seed=7)
    assert found["cpu_s_by_paths"] > 0
