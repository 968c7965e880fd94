"""The controller's arithmetic, by its documented examples and its code's corners."""

from __future__ import annotations

import numpy as np
import pytest

from services.kernel.errors import InvalidInput
from services.lab.arena.loop import SERVE, FinishedRequests, LoopTick, PoolCounts
from services.lab.bench.llm.rivals.hpa import KV_USAGE, HpaPolicy, HpaRules, of_external, of_pods

NONE = FinishedRequests(*(np.empty(0),) * 4)


def tick(now_s: float, ready: int, in_hand: int, starting: int = 0, kv: float = 0.0) -> LoopTick:
    pools = {SERVE: PoolCounts(ready, starting)}
    return LoopTick(now_s, pools, 0, NONE, in_hand, 0, kv)


@pytest.mark.parametrize(
    ("total", "ready", "starting", "wanted"),
    [
        (40.0, 2, 0, 4),  # twice the target
        (10.0, 2, 0, 1),
        (21.9, 2, 0, 2),  # within the tolerance
        (22.1, 2, 0, 3),
        (40.0, 2, 2, 4),  # those that start count as idle: enough
        (60.0, 2, 2, 6),
        (10.0, 2, 2, 3),  # downwards they count at the target: one of the ready ones may go
        (50.0, 0, 2, 2),
    ],
)
def test_a_mean_over_pods(total: float, ready: int, starting: int, wanted: int) -> None:
    assert of_pods(total, PoolCounts(ready, starting), 10.0) == wanted


@pytest.mark.parametrize(
    ("ready", "starting", "use", "wanted"),
    [
        # the cases of upstream's replica_calculator_test.go, use over the target
        (1, 1, 1.0, 1),  # at the target all count at zero: half, and not within the tolerance
        (1, 1, 1.9, 2),  # ...LessScale: 0.95 with them is no reason to go up
        (1, 1, 1.95, 2),
        (1, 1, 0.9, 2),  # ...NoChangeLt: 0.95 with them
        (3, 1, 0.2, 2),  # 1.6 of four
        (2, 2, 0.2, 3),
        (2, 1, 2.0, 4),  # upwards: 1.33 of three
        (4, 4, 0.8, 8),  # 0.9 of eight: within the tolerance
        (4, 4, 0.5, 6),
        (4, 1, 0.85, 5),
        (5, 1, 1.09, 6),  # 0.91 with them
        (5, 5, 1.5, 10),  # turns from up to down: stays
    ],
)
def test_pods_without_a_metric(ready: int, starting: int, use: float, wanted: int) -> None:
    assert of_pods(10.0 * use * ready, PoolCounts(ready, starting), 10.0) == wanted


def test_pods_that_start_are_not_scaled_in_with_those_that_idle() -> None:
    """All that are there stay within the window, and so nothing that starts is lost."""
    policy = HpaPolicy(HpaRules(10.0))
    assert policy.on_tick(tick(15.0, 4, 32, starting=4)).counts == {SERVE: 8}


@pytest.mark.parametrize(
    ("total", "ready", "starting", "wanted"),
    [(40.0, 2, 0, 4), (43.0, 2, 2, 4), (45.0, 2, 2, 5), (0.0, 3, 0, 0)],
)
def test_a_sum_of_the_service(total: float, ready: int, starting: int, wanted: int) -> None:
    assert of_external(total, PoolCounts(ready, starting), 10.0) == wanted


def test_up_at_once_down_after_the_window() -> None:
    policy = HpaPolicy(HpaRules(10.0))
    assert policy.on_tick(tick(15.0, 2, 60)).counts == {SERVE: 6}
    for now_s in np.arange(30.0, 315.0, 15.0):
        assert policy.on_tick(tick(float(now_s), 6, 20)).counts == {SERVE: 6}
    assert policy.on_tick(tick(315.0, 6, 20)).counts == {SERVE: 2}
    assert policy.on_tick(tick(330.0, 6, 20)).next_tick_s == 345.0


def test_the_default_policy_limits_each_step_up() -> None:
    assert HpaPolicy(HpaRules(1.0)).on_tick(tick(15.0, 2, 500)).counts == {SERVE: 6}
    assert HpaPolicy(HpaRules(1.0)).on_tick(tick(15.0, 8, 500)).counts == {SERVE: 16}


def test_one_replica_stays() -> None:
    policy = HpaPolicy(HpaRules(1.0, is_external=True))
    policy.on_tick(tick(15.0, 8, 0))
    assert policy.on_tick(tick(315.0, 8, 0)).counts == {SERVE: 1}


@pytest.mark.parametrize("is_external", [True, False])
def test_the_count_that_is_found_at_the_start_stands_for_the_window(is_external: bool) -> None:
    policy = HpaPolicy(HpaRules(15.0, is_external=is_external))
    for now_s in np.arange(15.0, 315.0, 15.0):
        assert policy.on_tick(tick(float(now_s), 5, 40)).counts == {SERVE: 5}
    assert policy.on_tick(tick(315.0, 5, 40)).counts == {SERVE: 3}


def test_the_share_of_the_kv_space_is_a_signal() -> None:
    rules = HpaRules(0.3, KV_USAGE, is_external=True)
    assert HpaPolicy(rules).on_tick(tick(15.0, 4, 0, kv=0.6)).counts == {SERVE: 8}


def test_no_target_and_no_signal_are_refused() -> None:
    with pytest.raises(InvalidInput, match="target=0 must be > 0"):
        HpaRules(0.0)
    with pytest.raises(InvalidInput, match="signal=cpu: must be one of in_flight, kv_usage"):
        HpaRules(1.0, "cpu")
