"""Histories of replicas."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings, strategies as st

from services.simulator.engine.engine import ClusterEngine, PodEventKind
from tests.unit.simulator.engine.clusters import ACTIONS, busy_cluster, nodes, spec


def test_the_history_is_bounded_and_says_when_it_is_gone() -> None:
    cluster = ClusterEngine(nodes(1, 8), seed=1, now_s=0.0, history_s=1_000.0)
    cluster.add_deployment(spec(replicas=1))
    for i in range(1, 1_000):
        cluster.advance(100.0 * i)
        cluster.scale("ns/a", 1 + i % 3)
    now_s = cluster.now_s
    kept = cluster.timeline("ns/a", now_s - 1_000.0, now_s)
    assert sum(piece.end_s - piece.start_s for piece in kept) == 1_000.0
    with pytest.raises(ValueError, match="older than the kept history"):
        cluster.timeline("ns/a", 0.0, now_s)


@given(ACTIONS, st.floats(0.0, 500.0), st.floats(0.0, 500.0))
@settings(max_examples=60, deadline=None)
def test_the_timeline_is_the_integral_of_the_events(
    actions: list[tuple[str, int, float]], a: float, b: float
) -> None:
    cluster = busy_cluster()
    events = []
    for key, replicas, wait_s in actions:
        cluster.scale(key, replicas)
        events += cluster.advance(cluster.now_s + wait_s)
    from_s = min(1_000.0 + min(a, b), cluster.now_s)
    to_s = min(1_000.0 + max(a, b), cluster.now_s)
    for key in cluster.deployment_keys:
        ends = {(e.key, e.ordinal): e.at_s for e in events if e.kind is PodEventKind.DELETED}
        expected = dict.fromkeys((PodEventKind.READY, PodEventKind.SCHEDULED), 0.0)
        for event in events:
            if event.key == key and event.kind in expected:
                end_s = min(ends.get((key, event.ordinal), to_s), to_s)
                expected[event.kind] += max(end_s - max(event.at_s, from_s), 0.0)
        pieces = cluster.timeline(key, from_s, to_s)
        ready_s = sum(p.ready * (p.end_s - p.start_s) for p in pieces)
        bound_s = sum(p.bound * (p.end_s - p.start_s) for p in pieces)
        assert ready_s == pytest.approx(expected[PodEventKind.READY], abs=1e-6)
        assert bound_s == pytest.approx(expected[PodEventKind.SCHEDULED], abs=1e-6)
        assert all(left.end_s == right.start_s for left, right in pairwise(pieces))
