"""Counterfactuals, the JSON record and the line for people."""

from __future__ import annotations

import json

import numpy as np
import pytest

from decider import (
    DecideConfig,
    Limits,
    ReplicaState,
    Sla,
    decide_shard,
)
from decider.explain import decision_summary, decision_to_dict
from decider.types import RiskKind
from tests.unit.decider.shards import NOW_S, noisy, shard, workload
from tests.unit.decider.tables.load_cases import STATED, bound, load_shard, several
from tests.unit.decider.tables.soft_cases import response, sla, soft_shard

CONFIG = DecideConfig()


def decide_one(paths: np.ndarray, owner=None, **given):
    return decide_shard(shard(paths, [owner or workload()], **given), CONFIG, NOW_S)[0]


def test_counterfactuals_order_and_stay_within_bounds() -> None:
    decision = decide_one(noisy(150.0, cv=0.2), workload(limits=Limits(1, 25)))
    others = decision.counterfactuals
    by_level = [others[f"epsilon_{e:g}"] for e in (0.001, 0.01, 0.05, 0.1)]
    assert by_level == sorted(by_level, reverse=True)
    assert others["median_forecast"] == 16
    assert all(1 <= n <= 25 for n in others.values())


def test_without_start_up_times_a_promise_of_requests_is_judged_by_requests() -> None:
    """Of eight scenarios in a thousand come half of all requests: 7 replicas were named."""
    paths = np.full((1000, 6), 300.0)
    paths[:8] = 30_000.0
    owner = workload(
        replicas=ReplicaState(300, 300), limits=Limits(1, 400), sla=Sla(0.05, "DemandFraction")
    )
    config = DecideConfig(spread_sigma=0.0)
    given = shard(paths, [owner], capacity=100.0, lead_s=1e-3)
    (decision,) = decide_shard(given, config, NOW_S)
    assert decision.counterfactuals["zero_lead_time"] > 250


def test_the_record_is_json_and_the_summary_reads() -> None:
    decision = decide_one(noisy(150.0))
    record = json.loads(json.dumps(decision_to_dict(decision)))
    assert record["risk"]["target"] == 0.01
    assert record["guard_trace"][0]["guard"] == "stale_input"
    line = decision_summary(decision)
    assert "w: 10 ->" in line
    assert "scale_up_risk" in line
    assert "promised" in line


def test_the_counterfactual_at_the_own_promise_is_the_plan() -> None:
    (decision,) = decide_shard(shard(noisy(150.0, cv=0.2)), DecideConfig(), NOW_S)
    assert decision.counterfactuals["epsilon_0.01"] == decision.raw


@pytest.mark.parametrize("epsilon", [0.01, 0.1])
def test_other_promises_of_windows_are_of_windows_too(epsilon: float) -> None:
    """31 were planned for 1 % of the days, and 15 told for the same: as if 1 % of the steps."""
    sla = Sla(epsilon, "AnyInWindow", 86_400.0)
    (decision,) = decide_shard(shard(noisy(150.0, cv=0.2), [workload(sla=sla)]), CONFIG, NOW_S)
    others = decision.counterfactuals
    assert others[f"epsilon_{epsilon:g}"] == decision.raw
    assert others["epsilon_0.001"] >= others["epsilon_0.01"] >= others["epsilon_0.1"] > 24


@pytest.mark.parametrize(
    ("kind", "words"),
    [("DemandFraction", "requests would miss"), ("TimeFraction", "minutes")],
)
def test_counts_are_told_with_what_they_are_expected_to_miss(kind: RiskKind, words: str) -> None:
    owner = workload(sla=sla(kind), limits=Limits(1, 200))
    (decision,) = decide_shard(soft_shard(noisy(150.0), [response()], [owner]), CONFIG, NOW_S)
    misses = decision.expected_misses
    assert misses is not None
    shares = list(misses.by_replicas.values())
    assert list(misses.by_replicas) == sorted(misses.by_replicas)
    assert shares == sorted(shares, reverse=True)
    wanted = {decision.current, decision.final, *decision.counterfactuals.values()}
    assert wanted <= set(misses.by_replicas)
    assert misses.floor == (0.01 if kind == "DemandFraction" else 0.0)
    record = json.loads(json.dumps(decision_to_dict(decision)))["expected_misses"]
    assert set(record) == {"of", "by_replicas"}, "the digest of earlier decisions is of these"
    assert record["by_replicas"][str(decision.final)] == pytest.approx(
        misses.by_replicas[decision.final], rel=1e-5
    )
    assert f"{decision.final} replicas: " in decision_summary(decision)
    assert words in decision_summary(decision)


def test_expected_misses_are_of_requests_as_the_risk_that_decides_counts_them() -> None:
    """Where more requests come, more miss: the share of requests is above the scenarios' mean."""
    level = 150.0 * np.exp(0.4 * np.random.default_rng(2).standard_normal(200))
    owner = workload(sla=sla(), limits=Limits(1, 200))
    request = soft_shard(np.repeat(level[:, None], 6, axis=1), [response(spread=0.0)], [owner])
    (decision,) = decide_shard(request, CONFIG, NOW_S)
    assert decision.expected_misses is not None
    shares = decision.expected_misses.by_replicas
    some = {n: share for n, share in shares.items() if 0.1 < share < 0.5}
    assert some
    for replicas, share in some.items():
        missed = 1.0 / (1.0 + (level / (10.0 * replicas)) ** -8.0)
        assert share == pytest.approx((level * missed).sum() / level.sum(), rel=0.05)
        assert share > 1.4 * missed.mean()


def test_without_a_response_nothing_is_said_of_misses() -> None:
    decision = decide_one(noisy(150.0))
    assert decision.expected_misses is None
    assert "expected_misses" not in decision_to_dict(decision)
    assert decision.bound_by == ()
    assert "bound_by" not in decision_to_dict(decision)
    assert "bound by load" not in decision_summary(decision)


@pytest.mark.parametrize("kind", ["DemandFraction", "TimeFraction", None])
@pytest.mark.parametrize("tightest", [0, 1, 2])
def test_the_load_that_binds_is_named(kind: RiskKind | None, tightest: int) -> None:
    """With a response and as stated; where none would miss, by what comes nearest."""
    paths = noisy(100.0, cv=0.2)
    further = np.stack([noisy(0.4 * 10.0 * c, i, cv=0.2) for i, c in enumerate(STATED[:2])])
    if tightest:
        further[tightest - 1] *= 5.0
    for ready in (1, 10, 200):
        replicas = ReplicaState(ready, ready)
        owner = bound(sla=sla(kind) if kind else workload().sla, replicas=replicas)
        draws = several() if kind else None
        (decision,) = decide_shard(load_shard(paths, further, owner, draws), CONFIG, NOW_S)
        assert sum(decision.bound_by) == pytest.approx(1.0)
        assert decision.bound_by[tightest] > 0.6
        assert f"mostly bound by load {tightest}" in decision_summary(decision)
        record = json.loads(json.dumps(decision_to_dict(decision)))
        assert record["bound_by"] == pytest.approx(decision.bound_by, rel=1e-5)


def test_shares_of_what_binds_are_those_of_the_misses() -> None:
    """By hand, scenario by scenario, for stated capacities: half the paths are bound by each."""
    paths = np.full((40, 6), 100.0)
    further = np.zeros((1, 40, 6))
    paths[:10], further[0, 10:20] = 300.0, 40.0 * STATED[0]
    further[0, 20:] = STATED[0]
    owner = bound(1, limits=Limits(1, 12))
    config = DecideConfig(n_pairs=1)
    (decision,) = decide_shard(load_shard(paths, further, owner), config, NOW_S)
    assert 10 <= decision.final <= 12
    # Ten paths with 300 requests miss by the demand, ten with 100 by the further load.
    assert decision.bound_by == pytest.approx((0.75, 0.25))


def test_nothing_binds_where_there_is_no_load() -> None:
    none = np.zeros((20, 6))
    (decision,) = decide_shard(load_shard(none, none[None], bound(1)), CONFIG, NOW_S)
    assert decision.bound_by == ()
