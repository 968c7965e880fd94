"""The price of risk while something else than the plan decides the count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from decider import (
    Control,
    DecideConfig,
    Decision,
    Limits,
    ReplicaState,
    RiskState,
    Sla,
    WorkloadInput,
    after_decision,
    decide_shard,
)
from tests.unit.decider.pool_cases import pool, service
from tests.unit.decider.shards import NOW_S, noisy, observed, shard, workload

CONFIG = DecideConfig()
Changed = Callable[[WorkloadInput], WorkloadInput]


def frozen(freeze: str) -> Changed:
    return lambda w: replace(w, control=Control(freeze=freeze))  # type: ignore[arg-type]


def without_free_gpus(w: WorkloadInput) -> WorkloadInput:
    return replace(w, replicas=replace(w.replicas, schedulable_gpus=0))


def at_most_12(w: WorkloadInput) -> WorkloadInput:
    return replace(w, limits=Limits(1, 12))


def decided_for(
    n_steps: int, level: float, changed: Changed, spec: int, budgets: dict[str, int | None]
) -> tuple[Decision, RiskState]:
    """The last of some decisions about a steady demand, and what it leaves in memory."""
    risk, found = RiskState(log_multiplier=4.8), None
    for step in range(n_steps):
        given = workload(
            replicas=ReplicaState(spec, spec), risk=risk, history=observed(*[level] * 30)
        )
        paths = noisy(level, step, cv=0.25)
        (found,) = decide_shard(shard(paths, [changed(given)], budgets=budgets), CONFIG, NOW_S)
        risk, spec = after_decision(risk, found, CONFIG.risk), found.final
    assert found is not None
    return found, risk


@pytest.mark.parametrize(
    ("changed", "budgets"),
    [
        (without_free_gpus, {}),
        (frozen("Both"), {}),
        (lambda w: w, {"H100": 12}),
    ],
    ids=["no free GPUs", "freeze", "budget"],
)
def test_a_price_does_not_rise_while_the_count_is_held_below_the_plan(
    changed: Changed, budgets: dict[str, int | None]
) -> None:
    """It rose by 0.09 a decision; an hour later the service asked for two thirds too many."""
    found, risk = decided_for(40, 100.0, changed, 12, budgets)
    assert found.final == 12 < found.raw
    assert found.is_short
    assert risk.log_multiplier is not None
    assert risk.log_multiplier <= 4.8 + 1e-9


def test_a_count_at_its_bound_is_short_where_the_bound_breaks_the_level() -> None:
    found, risk = decided_for(5, 100.0, at_most_12, 12, {})
    assert (found.final, found.is_short) == (12, True)
    assert risk.level_use > CONFIG.risk.max_risk_ratio


def test_a_price_does_not_fall_where_one_replica_fewer_would_not_be_taken_at_any_price() -> None:
    """Demand that is nearly certain: the price fell to e^-2, and the next rise was made with it."""
    quiet = noisy(35.0, cv=0.001)
    found, least = None, RiskState(log_multiplier=4.8)
    for _ in range(60):
        given = workload(replicas=ReplicaState(4, 4), risk=least, history=observed(*[35.0] * 30))
        (found,) = decide_shard(shard(quiet, [given]), CONFIG, NOW_S)
        least = after_decision(least, found, CONFIG.risk)
    assert found is not None
    assert (found.final, found.risk_after) == (4, 0.0)
    assert least.log_multiplier == 4.8


def test_a_price_does_not_fall_at_the_least_count() -> None:
    at_least_20: Changed = lambda w: replace(w, limits=Limits(20, 60))  # noqa: E731
    found, risk = decided_for(60, 35.0, at_least_20, 20, {})
    assert found.final == 20
    assert risk.log_multiplier == 4.8


def test_a_price_falls_no_further_than_the_plan_would_let_it_while_the_count_is_held_above() -> (
    None
):
    """After an evening with a freeze of falls the next rise was planned almost without a price."""
    found, risk = decided_for(60, 60.0, frozen("ScaleDown"), 30, {})
    assert found.final == 30 > found.raw
    free, alone = decided_for(60, 60.0, lambda w: w, 30, {})
    assert free.final < 30
    assert risk.log_multiplier is not None
    assert alone.log_multiplier is not None
    assert risk.log_multiplier > alone.log_multiplier - 1.0


def test_a_price_still_follows_a_count_that_the_plan_chose() -> None:
    found, risk = decided_for(1, 100.0, lambda w: w, 12, {})
    assert not found.is_short
    assert risk.log_multiplier != 4.8
    np.testing.assert_allclose(found.next_log_multiplier, risk.log_multiplier)


def decided_for_pools(n_steps: int, paths: np.ndarray, counts: list[int]) -> tuple[Decision, ...]:
    """The last of some decisions about pools that share one memory."""
    risk, found = RiskState(log_multiplier=7.0), ()
    for _ in range(n_steps):
        owners = [
            pool(f"p{g}", load=g, sla=Sla(0.01), risk=risk, replicas=ReplicaState(n, n))
            for g, n in enumerate(counts)
        ]
        found = decide_shard(service(paths, None, owners), CONFIG, NOW_S)
        assert found[0].next_log_multiplier == found[1].next_log_multiplier
        risk, counts = after_decision(risk, found[0], CONFIG.risk), [d.final for d in found]
    return found


def test_a_price_falls_though_one_pool_of_its_service_runs_a_single_replica() -> None:
    """It rose with each hard hour and never fell: that pool was judged at no replica at all."""
    decode, prefill = noisy(200.0), noisy(4.0, 1, cv=0.05)
    first = decided_for_pools(1, np.stack([decode, prefill]), [30, 1])
    last = decided_for_pools(20, np.stack([decode, prefill]), [30, 1])
    assert [d.final for d in last][1] == 1
    assert last[0].risk_after is not None
    assert last[0].risk_after < 0.0097
    assert last[0].next_log_multiplier < first[0].next_log_multiplier < 7.0
    assert last[0].final <= first[0].final


def test_a_price_of_pools_stays_where_no_pool_could_do_with_one_replica_fewer() -> None:
    sure = np.stack([noisy(35.0, cv=0.001), noisy(4.0, 1, cv=0.001)])
    found = decided_for_pools(20, sure, [4, 1])
    assert [d.final for d in found] == [4, 1]
    assert found[0].next_log_multiplier == 7.0
