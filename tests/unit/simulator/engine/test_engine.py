"""Laws of the simulated cluster's state machine."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings, strategies as st

from services.simulator.engine.engine import (
    ANY_GPU_TYPE,
    ClusterEngine,
    DrainSpec,
    Interval,
    NodeSpec,
    PodEventKind,
)
from tests.unit.simulator.engine.clusters import ACTIONS, busy_cluster, engine, nodes, spec


def test_first_replicas_are_ready_at_once_and_later_ones_after_their_start() -> None:
    cluster = engine()
    cluster.add_deployment(spec(replicas=2))
    cluster.advance(10.0)
    cluster.scale("ns/a", 3)
    cluster.advance(39.0)
    assert cluster.counts("ns/a").ready == 2
    assert cluster.counts("ns/a").start_ages_s == (29.0,)
    cluster.advance(40.0)
    assert cluster.counts("ns/a").ready == 3
    assert cluster.timeline("ns/a", 0.0, 40.0) == [
        Interval(0.0, 10.0, 2, 2),
        Interval(10.0, 40.0, 2, 3),
    ]


def test_a_cold_deployment_starts_like_any_other_pod() -> None:
    cluster = engine()
    cluster.add_deployment(spec(replicas=1, is_warm=False))
    cluster.advance(29.9)
    assert cluster.counts("ns/a").ready == 0
    cluster.advance(30.0)
    assert cluster.counts("ns/a").ready == 1


def test_pods_beyond_the_gpus_wait_in_turn_and_hold_nothing() -> None:
    cluster = engine(n=1, gpus=4)
    cluster.add_deployment(spec(replicas=4))
    cluster.add_deployment(spec("ns/b", replicas=1))
    cluster.scale("ns/a", 6)
    counts = cluster.counts("ns/a")
    assert (counts.ready, counts.bound, counts.pending) == (4, 4, 2)
    cluster.advance(5.0)
    cluster.scale("ns/a", 3)
    # ns/b has waited since the start, and gets the GPU that came free at t = 5.
    cluster.advance(35.0)
    assert cluster.counts("ns/b").ready == 1
    assert cluster.timeline("ns/b", 0.0, 35.0) == [Interval(0, 5, 0, 0), Interval(5, 35, 0, 1)]


def test_a_gang_is_placed_whole_and_holds_up_no_smaller_one() -> None:
    cluster = engine(n=2, gpus=4)
    cluster.add_deployment(spec(replicas=3, gpus_per_pod=2))
    cluster.add_deployment(spec("ns/large", replicas=2, gpus_per_pod=4))
    cluster.add_deployment(spec("ns/small", replicas=2))
    assert cluster.counts("ns/large").pending == 2
    assert cluster.counts("ns/small").ready == 2


def test_the_gpu_type_is_respected_and_any_takes_all() -> None:
    cluster = ClusterEngine([*nodes(1, 1), *nodes(1, 1, "L4")], seed=1, now_s=0.0)
    cluster.add_deployment(spec(replicas=2))
    cluster.add_deployment(spec("ns/any", gpu_type=ANY_GPU_TYPE, replicas=1))
    assert cluster.counts("ns/a").pending == 1
    assert cluster.pod("ns/any", 0).node == "l4-0"


def test_scaling_down_takes_pending_then_starting_then_the_cheapest_ready() -> None:
    cluster = engine(n=1, gpus=4)
    cluster.add_deployment(spec(replicas=3))
    cluster.scale("ns/a", 6)
    cluster.set_deletion_cost("ns/a", 1, -5)

    def left(replicas: int) -> list[int]:
        cluster.scale("ns/a", replicas)
        return [pod.ordinal for pod in cluster.pods("ns/a")]

    assert left(4) == [0, 1, 2, 3]
    assert left(3) == [0, 1, 2]
    assert left(2) == [0, 2]
    assert left(1) == [0]


def test_a_lost_node_loses_its_pods_and_a_new_one_takes_the_waiting() -> None:
    cluster = engine(n=2, gpus=2)
    cluster.add_deployment(spec(replicas=4))
    cluster.remove_node("h100-0")
    assert cluster.counts("ns/a").pending == 2
    cluster.cordon("h100-1")
    cluster.scale("ns/a", 3)
    cluster.scale("ns/a", 1)
    cluster.scale("ns/a", 2)
    assert cluster.counts("ns/a").pending == 1
    cluster.cordon("h100-1", False)
    assert cluster.counts("ns/a").starting == 1
    cluster.add_node(NodeSpec("late", "H100", 8))
    cluster.scale("ns/a", 6)
    assert Counter(pod.node for pod in cluster.pods("ns/a")) == {"h100-1": 2, "late": 4}


def test_a_deleted_pod_is_replaced_by_a_cold_one() -> None:
    cluster = engine()
    cluster.add_deployment(spec(replicas=2))
    cluster.delete_pod("ns/a", 0)
    counts = cluster.counts("ns/a")
    assert (counts.spec, counts.ready, counts.starting) == (2, 1, 1)


@given(ACTIONS)
@settings(max_examples=60, deadline=None)
def test_gpus_are_never_exceeded_and_counts_always_add_up(
    actions: list[tuple[str, int, float]],
) -> None:
    cluster = busy_cluster()
    for key, replicas, wait_s in actions:
        cluster.scale(key, replicas)
        cluster.advance(cluster.now_s + wait_s)
        used: Counter[str] = Counter()
        for each in cluster.deployment_keys:
            counts = cluster.counts(each)
            assert counts.ready + counts.starting + counts.pending == counts.spec
            for pod in cluster.pods(each):
                if pod.node:
                    used[pod.node] += pod.gpus
        for node in cluster.nodes.all():
            assert used[node.name] + cluster.nodes.free_gpus(node.name) == node.gpus
            assert cluster.nodes.free_gpus(node.name) >= 0


@cache
def undisturbed_start(key: str, ordinal: int) -> float:
    """Length of the start of a pod of `busy_cluster` when it is alone in the world."""
    alone = engine(1, 1_000, seed=3)
    startup = busy_cluster().spec(key).startup
    alone.add_deployment(spec(key, startup=startup, replicas=ordinal + 1, is_warm=False))
    alone.advance(1e6)
    ready_s = alone.pod(key, ordinal).ready_s
    assert ready_s is not None
    return ready_s


@given(ACTIONS)
@settings(max_examples=60, deadline=None)
def test_no_event_restarts_the_clock_of_a_start(actions: list[tuple[str, int, float]]) -> None:
    cluster = busy_cluster()
    bound: dict[tuple[str, int], float] = {}
    ready: dict[tuple[str, int], float] = {}
    for key, replicas, wait_s in [*actions, ("ns/a", 0, 1e4)]:
        cluster.scale(key, replicas)
        for event in cluster.advance(cluster.now_s + wait_s):
            pod = (event.key, event.ordinal)
            if event.kind is PodEventKind.SCHEDULED:
                assert pod not in bound
                bound[pod] = event.at_s
            if event.kind is PodEventKind.READY:
                assert pod not in ready
                ready[pod] = event.at_s
    for pod, at_s in ready.items():
        is_warm = at_s == 1_000.0
        assert is_warm or at_s - bound[pod] == pytest.approx(undisturbed_start(*pod), abs=1e-6)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6))
@settings(max_examples=30, deadline=None)
def test_a_rising_request_lands_after_the_lead_time(rises: list[int]) -> None:
    cluster = engine(1, 1_000)
    cluster.add_deployment(spec())
    wanted = 0
    for rise in rises:
        wanted += rise
        cluster.scale("ns/a", wanted)
        cluster.advance(cluster.now_s + 29.9)
        assert cluster.counts("ns/a").ready == wanted - rise
        cluster.advance(cluster.now_s + 0.1 + 1e-6)
        assert cluster.counts("ns/a").ready == wanted


@given(ACTIONS, st.lists(st.floats(0.0, 2_000.0), max_size=10))
@settings(max_examples=30, deadline=None)
def test_looking_more_often_changes_nothing(
    actions: list[tuple[str, int, float]], looks: list[float]
) -> None:
    plain, watched = busy_cluster(), busy_cluster()
    stops = sorted(1_000.0 + look for look in looks)
    seen = ([], [])
    for key, replicas, wait_s in actions:
        for cluster, events in zip((plain, watched), seen, strict=True):
            cluster.scale(key, replicas)
            end_s = cluster.now_s + wait_s
            if cluster is watched:
                for stop in stops:
                    if cluster.now_s < stop < end_s:
                        events += cluster.advance(stop)
            events += cluster.advance(end_s)
    assert seen[0] == seen[1]


def drained(busy_s: float, grace_s: float = 30.0) -> ClusterEngine:
    """One node of four GPUs, and two pods of two, of which the second is told to end."""
    cluster = engine(n=1, gpus=4)
    drain = DrainSpec(busy_s, grace_s)
    cluster.add_deployment(spec(gpus_per_pod=2, replicas=2, drain=drain))
    cluster.advance(100.0)
    cluster.scale("ns/a", 1)
    return cluster


@pytest.mark.parametrize(("busy_s", "ends_s", "is_killed"), [(20, 120, False), (40, 130, True)])
def test_a_pod_that_is_told_to_end_holds_its_gpus_until_it_has(
    busy_s: float, ends_s: float, is_killed: bool
) -> None:
    cluster = drained(busy_s)
    assert (cluster.counts("ns/a").ready, len(cluster.pods("ns/a"))) == (1, 1)
    assert cluster.used_nodes() == {"h100-0"}
    cluster.add_deployment(spec("ns/b", gpus_per_pod=2, replicas=1, is_warm=False))
    told = [e for e in cluster.advance(ends_s - 1) if e.key == "ns/a"][-1]
    assert (told.kind, told.at_s) == (PodEventKind.TOLD, 100.0)
    assert cluster.counts("ns/b").pending == 1
    gone = [e for e in cluster.advance(ends_s) if e.key == "ns/a"]
    assert [(e.kind, e.at_s, e.is_killed) for e in gone] == [
        (PodEventKind.DELETED, ends_s, is_killed)
    ]
    assert cluster.counts("ns/b").starting == 1
    pieces = [(p.ready, p.bound) for p in cluster.timeline("ns/a", 50.0, ends_s)]
    assert pieces == [(2, 2), (1, 2)]


def test_one_that_ends_at_once_is_never_told() -> None:
    for cluster in (drained(0.0), drained(40.0, grace_s=0.0)):
        kinds = [event.kind for event in cluster.take_events()]
        assert PodEventKind.TOLD not in kinds
        assert kinds[-1] is PodEventKind.DELETED


def test_what_is_ending_goes_with_its_node_its_deployment_or_by_hand() -> None:
    for take in (
        lambda c: c.delete_pod("ns/a", 1),
        lambda c: c.remove_deployment("ns/a"),
        lambda c: c.remove_node("h100-0"),
    ):
        cluster = drained(20.0)
        cluster.take_events()
        take(cluster)
        events = [(e.kind, e.ordinal) for e in cluster.advance(500.0)]
        assert events.count((PodEventKind.DELETED, 1)) == 1
        if "h100-0" in {node.name for node in cluster.nodes.all()}:
            held = 2 * len(cluster.deployment_keys)
            assert cluster.nodes.free_gpus("h100-0") == 4 - held


def test_a_pod_may_end_otherwise_than_its_deployment_says() -> None:
    cluster = engine(n=1, gpus=4)
    cluster.add_deployment(spec(replicas=2))
    cluster.set_drain("ns/a", 1, DrainSpec(50.0, 10.0))
    cluster.scale("ns/a", 1)
    cluster.take_events()
    assert [(e.at_s, e.is_killed) for e in cluster.advance(60.0)] == [(10.0, True)]


def test_a_pod_that_is_held_takes_no_gpu_and_starts_once_it_is_let_go() -> None:
    cluster = engine(n=1, gpus=1)
    cluster.add_deployment(replace(spec(replicas=1), is_gated=True))
    assert [event.kind for event in cluster.take_events()] == ["created", "gated"]
    cluster.add_deployment(spec("ns/b", replicas=1))
    assert cluster.counts("ns/b").ready == 1
    (held,) = cluster.gated()
    cluster.advance(100.0)
    cluster.release(held)
    assert [event.kind for event in cluster.take_events()][-1] == "unschedulable"
    assert cluster.gated() == []
    cluster.remove_deployment("ns/b")
    assert cluster.counts("ns/a").starting == 1
    cluster.advance(130.0)
    assert cluster.counts("ns/a").ready == 1


def test_a_node_that_gets_more_gpus_takes_pods_that_wait() -> None:
    cluster = engine(n=1, gpus=1)
    cluster.add_deployment(spec(replicas=3))
    (node,) = cluster.nodes.all()
    cluster.nodes.resize(replace(node, gpus=3))
    cluster.update_node(node)
    assert cluster.counts("ns/a").bound == 3
    assert cluster.nodes.free_gpus(node.name) == 0
    cluster.nodes.resize(node)
    assert cluster.nodes.free_gpus(node.name) == -2
