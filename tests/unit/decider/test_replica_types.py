"""Impossible replicas, bounds and hardware are refused when they are made."""

from __future__ import annotations

import math

import pytest

from decider import Hardware, Limits, ReplicaState, SpotReplicas
from decider.errors import InvalidRequest


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Limits(5, 2), "min_replicas=5, max_replicas=2"),
        (lambda: Limits(-1, 2), "need 0 <= min <= max"),
        (lambda: ReplicaState(-1, 0), "spec=-1"),
        (lambda: ReplicaState(0, -1), "ready=-1"),
        (lambda: ReplicaState(1, 0, (-5.0,)), "ages"),
        (lambda: ReplicaState(1, 0, schedulable_gpus=-1), "schedulable_gpus=-1"),
        (lambda: SpotReplicas(4, 0, 1.0, 1.0), "4 spot replicas cannot be on 0 nodes"),
        (lambda: SpotReplicas(2, 3, 1.0, 1.0), "on 3 nodes"),
        (lambda: SpotReplicas(2, 1, -1.0, 1.0), "interruptions=-1"),
        (lambda: SpotReplicas(2, 1, 1.0, 0.0), "node_hours=0"),
        (lambda: ReplicaState(1, 1, spot=SpotReplicas(2, 1, 1.0, 1.0)), "spot.replicas=2"),
        (lambda: Hardware("H100", 0), "gpus_per_replica"),
        (lambda: Hardware("H100", 1, -1.0), "price_usd_per_gpu_hour"),
    ],
)
def test_impossible_values_are_refused(make, match: str) -> None:
    with pytest.raises(InvalidRequest, match=match):
        make()


def test_replicas_bounds_and_cost_count() -> None:
    assert ReplicaState(5, 3).on_the_way == 2
    assert ReplicaState(2, 3).on_the_way == 0
    assert [Limits(2, 4).clamp(n) for n in (1, 3, 9)] == [2, 3, 4]
    assert Hardware("H100", 8, 2.5).usd_per_hour(2.0) == 40.0


def test_interruptions_of_any_of_some_nodes_are_counted_together() -> None:
    assert SpotReplicas(8, 2, 1.0, 20.0).hours_between == 10.0
    assert SpotReplicas(8, 2, 0.0, 20.0).hours_between == math.inf
