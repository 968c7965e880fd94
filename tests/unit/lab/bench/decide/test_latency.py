from __future__ import annotations

from services.lab.bench.decide.latency import bench_latency, decision_shard


def test_a_shard_is_decided_and_timed() -> None:
    found = bench_latency(16, 50, 6, seed=7)
    assert (found["workloads"], found["paths"], found["steps"]) == (16, 50, 6)
    assert found["scenarios"] == 150
    assert 0 < found["seconds"] <= found["seconds_median"]
    assert found["peak_rss_mib"] > 50


def test_the_same_seed_makes_the_same_shard() -> None:
    first, second = (decision_shard(3, 20, 4, seed=7) for _ in range(2))
    assert (first.paths == second.paths).all()
    assert (first.lead_time_draws_s == second.lead_time_draws_s).all()


def test_time_grows_no_faster_than_the_shard() -> None:
    """Eight times the workloads, at most twelve times the seconds: no hidden square."""
    small = bench_latency(32, 100, 12, seed=7)["seconds"]
    large = bench_latency(256, 100, 12, seed=7)["seconds"]
    assert large <= 12 * small
