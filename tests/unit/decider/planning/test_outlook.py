"""A shard planned, without churn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from decider import DecideConfig, ReplicaState, Sla, decide_shard
from decider.planning.outlook import look_ahead
from tests.unit.decider.pool_cases import service, standings, two_pools
from tests.unit.decider.shards import NOW_S, noisy, shard, workload


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


def n_changes(config: DecideConfig, step_s: float) -> int:
    """Changes of the count while forecasts of one demand scatter from decision to decision."""
    rng = np.random.default_rng(4)
    owner, n = workload(forecast_origin_s=NOW_S - step_s), 0
    for _ in range(120):
        level = 300.0 * (1.0 + 0.01 * rng.standard_normal())
        paths = level * (1.0 + 0.1 * rng.standard_normal((100, 12)))
        request = replace(shard(paths, [owner], lead_s=step_s), step_s=step_s)
        (decision,) = decide_shard(request, config, NOW_S)
        n += decision.final != decision.current
        risk = replace(owner.risk, log_multiplier=decision.next_log_multiplier)
        owner = replace(owner, replicas=ReplicaState(decision.final, decision.final), risk=risk)
    return n


@pytest.mark.slow
def test_decisions_every_few_seconds_do_not_change_the_count_with_every_forecast() -> None:
    by_step = replace(DecideConfig(), change_cost_step_s=0.0)
    assert n_changes(DecideConfig(), 15.0) <= 0.75 * n_changes(by_step, 15.0)
    assert n_changes(DecideConfig(), 60.0) == n_changes(by_step, 60.0)


def test_one_replica_fewer_of_a_service_is_one_of_the_pool_that_risks_the_least() -> None:
    request = service(np.stack([noisy(200.0), noisy(4.0, 1)]), None, two_pools(Sla(0.01)))
    config = DecideConfig()
    outlook = look_ahead(request, standings(request, config), config)
    counts, least = np.array([26, 1]), np.array([1, 1])
    assert (outlook.risk_one_fewer(counts, least) == outlook.risk_at(np.array([25, 1]))).all()
    none = outlook.risk_one_fewer(counts, np.array([1, 0]))
    assert (none == outlook.risk_one_fewer(counts, least)).all(), "decode risks less"
    assert (outlook.risk_one_fewer(counts, np.array([26, 0])) >= 1.0).all()
    assert np.isinf(outlook.risk_one_fewer(counts, counts)).all()
