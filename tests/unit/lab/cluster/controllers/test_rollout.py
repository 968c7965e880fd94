"""Laws of a rolling update."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from services.lab.cluster.controllers.rollout import RollingRules, next_sizes
from services.simulator.engine.engine import ReplicaCounts

LIMITS = st.integers(0, 3) | st.sampled_from(["0%", "25%", "50%", "100%"])


def counts(spec: int, ready: int | None = None) -> ReplicaCounts:
    ready = spec if ready is None else ready
    return ReplicaCounts(spec=spec, ready=ready, starting=spec - ready, pending=0)


@given(st.integers(1, 12), LIMITS, LIMITS)
def test_a_rollout_ends_and_keeps_its_limits_on_the_way(
    replicas: int, surge: int | str, unavailable: int | str
) -> None:
    rules = RollingRules(surge, unavailable)
    sizes = [replicas, 0]
    for _ in range(3 * replicas + 3):
        # New pods are not ready in the round in which they are made.
        ready = [sizes[0], sizes[1]]
        sizes = next_sizes(
            replicas, [counts(s, r) for s, r in zip(sizes, ready, strict=True)], rules
        )
        assert sum(sizes) <= replicas + max(rules.surge(replicas), 0)
        still_ready = sum(min(s, r) for s, r in zip(sizes, ready, strict=True))
        assert still_ready >= replicas - rules.unavailable(replicas)
    assert sizes == [0, replicas]


def test_recreate_stops_everything_first() -> None:
    rules = RollingRules(is_recreate=True)
    assert next_sizes(3, [counts(3), counts(0)], rules) == [0, 0]
    assert next_sizes(3, [counts(0), counts(0)], rules) == [0, 3]


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable"), [(4, 1, 1), (10, 3, 2), (1, 1, 0), (0, 0, 1)]
)
def test_shares_round_up_for_surge_and_down_for_unavailable(
    replicas: int, surge: int, unavailable: int
) -> None:
    rules = RollingRules("25%", "25%")
    assert (rules.surge(replicas), rules.unavailable(replicas)) == (surge, unavailable)


def test_old_pods_that_never_became_ready_go_first() -> None:
    sizes = next_sizes(4, [counts(4, ready=1), counts(0)], RollingRules(1, 1))
    assert sizes == [1, 1]
