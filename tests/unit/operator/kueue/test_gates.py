"""A start begins when the gate of its pod is gone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from services.operator.cluster.ownership import OwnedPod
from services.operator.cluster.pods import PodState, count_replicas
from services.operator.cluster.queue_labels import QUEUE_LABEL
from services.operator.kueue.gates import Gate, follow_gates
from tests.unit.operator.examples import NOW
from tests.unit.operator.pods import pod

LABELS = {QUEUE_LABEL: "team-a"}
LATER = NOW + timedelta(seconds=30)


def waiting(**given: Any) -> OwnedPod:
    values: dict[str, Any] = {"node": "", "ready_s": None, "labels": LABELS} | given
    return OwnedPod(pod("p", **values), None)


def only(found: list[OwnedPod]) -> PodState:
    (one,) = found
    return one.state


def test_a_pod_without_a_gate_is_left_as_it_is() -> None:
    plain = OwnedPod(pod("p"), None)
    assert follow_gates([plain], {}, NOW) == ([plain], {})


def test_a_pod_that_is_held_has_not_begun() -> None:
    found, gates = follow_gates([waiting(is_gated=True, created_s=-5000)], {}, NOW)
    assert gates == {"p": Gate()}
    counted = count_replicas([only(found)], NOW)
    assert (counted.pending, counted.gated, counted.start_ages_s) == (1, 1, (0.0,))


def test_it_begins_when_the_gate_is_gone_and_keeps_that_time() -> None:
    gates = {"p": Gate()}
    found, gates = follow_gates([waiting(created_s=-5000)], gates, NOW)
    assert only(found).requested_at == NOW
    found, gates = follow_gates([waiting(created_s=-5000)], gates, LATER)
    assert only(found).requested_at == NOW
    assert only(found).is_release_seen
    counted = count_replicas([only(found)], LATER)
    assert (counted.gated, counted.start_ages_s) == (0, (30.0,))


def test_it_was_let_go_before_it_was_given_a_node() -> None:
    bound_at = NOW - timedelta(seconds=3)
    found, _ = follow_gates([waiting(node="n1", bound_at=bound_at)], {"p": Gate()}, NOW)
    assert only(found).requested_at == bound_at


def test_one_that_was_not_watched_may_have_been_let_go_long_ago() -> None:
    found, gates = follow_gates([waiting(created_s=-5000)], {}, NOW)
    assert gates == {"p": Gate(NOW, is_seen=False)}
    assert not only(found).is_release_seen
    assert only(found).requested_at == NOW


def test_one_that_was_never_held_as_far_as_was_seen_began_when_it_was_made() -> None:
    young, ready = waiting(created_s=-10), waiting(created_s=-5000, ready_s=-4000)
    assert follow_gates([young], {}, NOW) == ([young], {})
    assert follow_gates([ready], {}, NOW) == ([ready], {})


def test_pods_that_are_gone_are_forgotten() -> None:
    assert follow_gates([], {"p": Gate()}, NOW) == ([], {})
