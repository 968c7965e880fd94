"""Interruptions are counted once each, in the node-hours that were watched."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, strategies as st

from services.operator.cluster.pods import ClaimRef
from services.operator.plan.interruptions import (
    HALF_LIFE,
    MOST_BETWEEN,
    SpotCount,
    SpotNode,
    follow,
    serving_nodes,
    spot_nodes,
    untold_nodes,
)
from tests.unit.operator.examples import NOW
from tests.unit.operator.pods import node, pod

MINUTE = timedelta(minutes=1)
SERVES = SpotNode(serves=True)
SEEN = SpotCount(2.0, 100.0, frozenset(), NOW)


def test_nodes_are_told_apart_by_their_uid_and_serve_while_pods_do() -> None:
    nodes = [
        node("n1", 8, uid="u1", notice="told"),
        node("n2", 8, uid="u2", is_meant=True),
        node("n3", 8, uid="u3"),
    ]
    pods = [
        pod("a"),
        pod("b", node="n2", ready_s=None),
        pod("c", node="n2", is_leaving=True),
        pod("d", node="n2", gpus=0),
    ]
    assert spot_nodes(nodes, serving_nodes(pods), {"n1", "n2"}) == {
        "u1": SpotNode(is_noticed=True, serves=True),
        "u2": SpotNode(is_meant=True),
    }


def test_pods_whose_gpus_come_by_claims_serve_too() -> None:
    claimed = pod("a", gpus=0, claims=(ClaimRef("one", is_template=True),))
    assert serving_nodes([claimed]) == {"n1"}
    assert serving_nodes([replace(claimed, ready_at=None)]) == set()


def test_a_node_under_notice_is_counted_once() -> None:
    before, told = {"a": SERVES, "b": SERVES}, SpotNode(is_noticed=True, serves=True)
    nodes = {"a": told, "b": SERVES}
    first = follow(SEEN, before, nodes, nodes, NOW + MINUTE)
    assert (first.interruptions, first.count.noticed) == (1, {"a"})
    assert first.node_hours == pytest.approx(2 / 60)
    again = follow(first.count, nodes, nodes, nodes, NOW + 2 * MINUTE)
    assert again.interruptions == 0
    assert again.node_hours == pytest.approx(1 / 60)
    gone = follow(again.count, nodes, {"b": SERVES}, {"b"}, NOW + 3 * MINUTE)
    assert (gone.interruptions, gone.count.noticed) == (0, frozenset())


def test_one_that_goes_without_notice_while_its_pods_serve_is_counted() -> None:
    before = {"a": SERVES, "idle": SpotNode(), "meant": SpotNode(is_meant=True, serves=True)}
    assert follow(SEEN, before, {}, {"other"}, NOW + MINUTE).interruptions == 1


def test_one_that_goes_by_intent_is_not_counted_though_it_is_told() -> None:
    meant = SpotNode(is_noticed=True, is_meant=True, serves=True)
    assert follow(SEEN, {"a": SERVES}, {"a": meant}, {"a"}, NOW + MINUTE).interruptions == 0


def test_a_process_that_has_just_begun_counts_what_it_sees_and_no_hours() -> None:
    told = {"a": SpotNode(is_noticed=True), "b": SERVES}
    known = SpotCount(2.0, 100.0, frozenset({"a"}), NOW)
    assert follow(known, None, told, told, NOW + MINUTE).interruptions == 0
    change = follow(SEEN, None, told, told, NOW + MINUTE)
    assert (change.interruptions, change.node_hours) == (1, 0.0)
    assert follow(SpotCount(), None, told, told, NOW).count.interruptions == 1.0


def test_one_that_is_there_and_is_not_seen_as_a_spot_node_is_not_counted() -> None:
    change = follow(SEEN, {"a": SERVES}, {}, {"a"}, NOW + MINUTE)
    assert (change.interruptions, change.node_hours) == (0, pytest.approx(1 / 60))


def test_nodes_that_tell_nothing_of_what_they_have_are_the_same_still() -> None:
    """A device plugin starts again, or no label names the product for a while."""
    bare = replace(node("n1", 8, uid="u1"), accelerators=())
    unlabelled = node("n2", 8, uid="u2", product="")
    of_another_type = node("n3", 8, uid="u3", product="NVIDIA-L4")
    never_seen = replace(node("n4", 8, uid="u4"), accelerators=())
    listed = {each.uid: each for each in (bare, unlabelled, of_another_type, never_seen)}
    assert untold_nodes(["u1", "u2", "u3", "gone"], listed) == [bare, unlabelled]


def test_nothing_is_known_of_a_time_in_which_nobody_watched() -> None:
    """Nodes that went meanwhile may have gone by intent, so they do not count without hours."""
    before, nodes = {"a": SERVES, "b": SERVES}, {"a": SERVES}
    last = follow(SEEN, before, nodes, nodes, NOW + MOST_BETWEEN)
    assert (last.interruptions, last.node_hours) == (1, pytest.approx(2 / 6))
    change = follow(SEEN, before, nodes, nodes, NOW + MOST_BETWEEN + MINUTE)
    assert (change.interruptions, change.node_hours) == (0, 0.0)


def test_what_was_seen_is_forgotten_by_half_in_two_weeks() -> None:
    count = follow(SEEN, {}, {}, (), NOW + HALF_LIFE).count
    assert (count.interruptions, count.node_hours) == (1.0, 50.0)


def test_a_clock_that_went_back_adds_nothing() -> None:
    change = follow(SEEN, {"a": SERVES}, {"a": SERVES}, {"a"}, NOW - MINUTE)
    assert change.node_hours == 0.0


@given(st.lists(st.sets(st.integers(0, 5)), max_size=12))
def test_no_history_counts_a_node_twice_while_it_is_under_notice(told: list[set[int]]) -> None:
    """Every node is there all along; each time that it comes under notice counts once."""
    count, before, n_counted, n_begun = SpotCount(), None, 0, 0
    last: set[int] = set()
    for i, now_told in enumerate(told):
        nodes = {str(n): SpotNode(is_noticed=n in now_told, serves=True) for n in range(6)}
        change = follow(count, before, nodes, nodes, NOW + i * MINUTE)
        count, before = change.count, nodes
        n_counted += change.interruptions
        n_begun += len(now_told - last)
        last = now_told
    assert n_counted == n_begun
