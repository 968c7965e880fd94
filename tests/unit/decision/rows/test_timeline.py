"""Replicas of a step from snapshots, scalings and pods that turn ready."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, strategies as st

from services.decision.rows.timeline import ReplicaEvent, step_intervals


def pieces(events: list[ReplicaEvent]) -> list[tuple[float, float, int, int]]:
    return [(i.start_s, i.end_s, i.ready, i.bound) for i in step_intervals(events, 100.0, 200.0)]


def test_a_snapshot_before_the_step_holds_through_it() -> None:
    assert pieces([ReplicaEvent(50.0, "snapshot", 3, 4)]) == [(100.0, 200.0, 3, 4)]


def test_nothing_is_known_before_the_first_snapshot() -> None:
    assert pieces([ReplicaEvent(150.0, "snapshot", 3, 4)]) == [(150.0, 200.0, 3, 4)]
    assert pieces([ReplicaEvent(150.0, "ready"), ReplicaEvent(160.0, "scale", 9)]) == []
    assert pieces([ReplicaEvent(200.0, "snapshot", 3, 4)]) == []


def test_a_scale_up_binds_at_once_and_serves_when_pods_turn_ready() -> None:
    events = [
        ReplicaEvent(100.0, "snapshot", 3, 3),
        ReplicaEvent(100.0, "scale", 5),
        ReplicaEvent(140.0, "ready"),
        ReplicaEvent(170.0, "ready"),
    ]
    assert pieces(events) == [
        (100.0, 140.0, 3, 5),
        (140.0, 170.0, 4, 5),
        (170.0, 200.0, 5, 5),
    ]


def test_a_scale_down_acts_at_once() -> None:
    events = [ReplicaEvent(90.0, "snapshot", 6, 8), ReplicaEvent(100.0, "scale", 4)]
    assert pieces(events) == [(100.0, 200.0, 4, 4)]


def test_a_pod_never_serves_beyond_what_is_bound() -> None:
    events = [ReplicaEvent(90.0, "snapshot", 4, 4), ReplicaEvent(120.0, "ready")]
    assert pieces(events)[-1] == (120.0, 200.0, 4, 4)


event = st.builds(
    ReplicaEvent,
    st.floats(0, 250),
    st.sampled_from(["snapshot", "scale", "ready"]),
    st.integers(0, 9),
    st.integers(9, 12),
)


@given(st.lists(event, max_size=12))
def test_intervals_tile_the_known_part_of_the_step(events: list[ReplicaEvent]) -> None:
    found = pieces(events)
    for a, b in pairwise(found):
        assert a[1] == b[0]
    if found:
        assert found[-1][1] == 200.0
        assert all(100.0 <= s < e and 0 <= ready <= bound for s, e, ready, bound in found)
