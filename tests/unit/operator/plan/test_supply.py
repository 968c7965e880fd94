"""Room for more replicas where nodes may be added."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from services.operator.cluster.free_gpus import NodeRoom
from services.operator.cluster.node_pools import GpuNodePool
from services.operator.cluster.placement import PodShape
from services.operator.plan import supply as supplies
from services.operator.plan.gpu_room import GpuRoom, TargetUse
from services.operator.plan.provisioning import Provisioning, attempt, learn_startup
from services.operator.plan.supply import (
    GpusInUse,
    NewNodes,
    ReplicaNeed,
    Resolved,
    TypeSupply,
)
from services.operator.plan.supply_refusals import SupplySource
from tests.unit.operator.examples import NOW
from tests.unit.operator.pods import node, shape

LAW = learn_startup(120.0)


def supply(ceiling: int | None = 64, **given: Any) -> TypeSupply:
    use = GpusInUse(given.pop("asked", 16), given.pop("others", 0), given.pop("nodes", 16))
    new = NewNodes(None, max(0, (ceiling or 0) - use.nodes), given.pop("size", 8))
    resolved = Resolved(ceiling, "CeilingSet", "spec.supply.ceiling is 64", (new,))
    state = given.pop("state", Provisioning())
    return TypeSupply("H100", resolved, use, state, LAW, given.pop("may_ask", True))


def need(gpus: int = 8, n_pending: int = 0, pod: int | None = None) -> ReplicaNeed:
    return ReplicaNeed(gpus, (shape(pod or gpus),), n_pending)


REFUSED = Provisioning(1, NOW, NOW + timedelta(seconds=120), why="no capacity")


def test_nodes_to_come_count_up_to_the_ceiling() -> None:
    room = supply().room(0, need())
    assert (room.gpus, room.on_new_nodes) == (48, 48)


def test_replicas_that_wait_keep_their_part() -> None:
    room = supply(asked=32).room(0, need(n_pending=2))
    assert room.gpus // 8 - 2 == 4  # the ceiling leaves 32 GPUs for four replicas more


def test_pods_of_others_count_against_the_ceiling() -> None:
    room = supply(others=24).room(0, need())
    assert room.gpus == 24
    assert supply(others=24).left_to_targets == 40


def test_a_replica_that_no_node_is_large_enough_for_has_no_room() -> None:
    assert supply(size=4).room(0, need()).gpus == 0


def test_during_a_back_off_there_is_what_is_free() -> None:
    closed = supply(state=REFUSED, may_ask=False, asked=8)
    assert closed.room(8, need(n_pending=0)).gpus == 8
    assert closed.room(8, need(n_pending=0)).on_new_nodes == 0
    assert closed.most_asked == 16


def test_what_an_attempt_under_way_asked_for_may_still_come() -> None:
    trying = attempt(REFUSED, LAW, NOW + timedelta(seconds=200))
    closed = supply(state=trying, may_ask=False, asked=32)
    room = closed.room(0, need(n_pending=2))
    assert (room.gpus, room.on_new_nodes) == (16, 16)


def test_the_reason_says_when_it_is_tried_again() -> None:
    closed = supply(state=REFUSED, may_ask=False)
    assert closed.bound.startswith("no capacity; the next increase may try again at ")
    assert closed.words == closed.bound
    assert supply(others=4).bound == (
        "pods may ask for 64 GPUs of H100 together, of which others ask for 4"
    )
    assert supply().words == "spec.supply.ceiling is 64"


def test_a_ceiling_caps_a_supply_that_is_fixed_too() -> None:
    """A back-off of the time when it was provisioned holds nothing back any more."""
    fixed = supply(None, asked=16, others=8, may_ask=False, state=REFUSED)
    capped = replace(fixed, resolved=replace(fixed.resolved, cap=40))
    assert not capped.is_provisioned
    assert (capped.left_to_targets, capped.most_asked) == (32, 32)
    assert capped.most_of(need(n_pending=1)) == 16 + 8
    assert capped.bound == "pods may ask for 40 GPUs of H100 together, of which others ask for 8"
    assert fixed.most_of(need()) is None


def two_pools(*, is_dry: bool = True, limit: int | None = 80) -> TypeSupply:
    """Two pools with room for 32 GPUs each beside 16 that are there; one may be dry."""
    new = (NewNodes(None, 32, 8, "NodePool/spot"), NewNodes(None, 32, 8, "NodePool/steady"))
    resolved = Resolved(80, "Detected", "pools may have 80 GPUs", new, limit)
    sources = (
        SupplySource("NodePool/spot", 32, REFUSED if is_dry else Provisioning(), not is_dry),
        SupplySource("NodePool/steady", 32, Provisioning()),
    )
    use = GpusInUse(16, 0, 16)
    return TypeSupply("H100", resolved, use, Provisioning(), LAW, sources=sources)


def test_new_nodes_of_a_source_that_refuses_do_not_count() -> None:
    both, one = two_pools(is_dry=False), two_pools()
    assert both.room(0, need()).gpus == 64
    assert (both.most_asked, both.reach, both.partly) == (80, None, "")
    assert one.room(0, need()).gpus == 32
    assert (one.most_asked, one.reach) == (48, 48)
    assert one.bound.startswith("pods may ask for 48 GPUs of H100 together; NodePool/spot: no ")
    assert one.words.startswith("pools may have 80 GPUs; NodePool/spot: no capacity; ")
    assert not one.is_short(0, need(n_pending=3)), "those that wait find room"
    assert one.is_short(0, need(n_pending=5))
    assert not both.is_short(0, need(n_pending=5))


def test_where_limits_are_not_known_a_refusing_source_takes_nothing_from_the_ceiling() -> None:
    assert two_pools(limit=None).most_asked == 80


def test_a_fixed_supply_is_not_provisioned() -> None:
    assert not supply(ceiling=None).is_provisioned
    assert supply().is_provisioned


@settings(deadline=None)
@given(
    ceiling=st.integers(0, 200),
    others=st.integers(0, 100),
    nodes=st.integers(0, 200),
    may_ask=st.booleans(),
    targets=st.lists(
        st.tuples(st.sampled_from((1, 2, 4, 8)), st.integers(0, 6), st.integers(1, 20)),
        min_size=1,
        max_size=6,
    ),
)
def test_what_is_granted_never_exceeds_the_ceiling(
    ceiling: int,
    others: int,
    nodes: int,
    may_ask: bool,
    targets: list[tuple[int, int, int]],
) -> None:
    """All rises of a pass together ask for no more than is left, and no rise becomes a fall."""
    uses = [TargetUse("H100", gpus, spec, spec) for gpus, spec, _ in targets]
    asked = sum(use.held() for use in uses)
    one = supply(ceiling, asked=asked, others=others, nodes=nodes, may_ask=may_ask, state=REFUSED)
    room = GpuRoom.of({"H100": one.most_asked}, uses)
    after = 0
    for use, (gpus, spec, more) in zip(uses, targets, strict=True):
        granted = room.grant(use, spec + more, takes_part=True).count
        assert spec <= granted <= spec + more
        after += gpus * granted
    assert after <= max(asked, ceiling - others)
    if not may_ask:
        assert after <= max(asked, nodes - others)


@settings(deadline=None)
@given(
    ceiling=st.integers(0, 200),
    others=st.integers(0, 100),
    asked=st.integers(0, 200),
    here=st.integers(0, 10),
    gpus=st.sampled_from((1, 2, 4, 8)),
    n_pending=st.integers(0, 5),
)
def test_the_room_of_one_target_keeps_within_the_ceiling(
    ceiling: int, others: int, asked: int, here: int, gpus: int, n_pending: int
) -> None:
    asked += n_pending * gpus
    room = supply(ceiling, asked=asked, others=others).room(here * gpus, need(gpus, n_pending))
    more = max(0, room.gpus // gpus - n_pending)
    assert asked + others + more * gpus <= max(ceiling, asked + others)
    assert 0 <= room.on_new_nodes <= room.gpus


def test_a_pass_asks_of_nodes_to_come_what_the_last_one_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A ceiling of thousands of GPUs is as many places to give to groups."""
    supplies._on_empty_nodes.cache_clear()
    looks: list[NodeRoom] = []
    real = NodeRoom.n_fitting

    def n_fitting(room: NodeRoom, pod: PodShape) -> int:
        looks.append(room)
        return real(room, pod)

    monkeypatch.setattr(NodeRoom, "n_fitting", n_fitting)
    for _ in range(2):
        new = NewNodes(None, 80, 8)
        assert new.schedulable("H100", 4, (shape(1),) * 4) == 80
        assert 0 < len(looks) <= 80 + 10 + 4
    assert NewNodes(None, 16, 8).schedulable("H100", 4, (shape(1),) * 4) == 16


def test_what_no_node_and_no_pool_takes_is_known_where_nodes_and_pools_are() -> None:
    pool = GpuNodePool("a", 64, 0, 8, ("H100",), {"gpu": "H100"}, (), ())
    there = [node("n1", 8, labels={"gpu": "H100"})]
    known = replace(
        supply(), nodes=there, resolved=replace(supply().resolved, new=(NewNodes(pool, 8, 8, "a"),))
    )
    fits, odd = shape(1, selector=(("gpu", "H100"),)), shape(1, selector=(("team", "nope"),))
    assert known.may_place((fits,))
    assert known.may_place(())
    assert not known.may_place((fits, odd))
    assert not known.is_asked_of("a", [(odd,)])
    assert known.is_asked_of("a", [(odd,), (fits,)])
    assert known.is_asked_of("unknown", [(odd,)])
    assert replace(known, nodes=None).may_place((odd,)), "nodes could not be listed"
    anything = replace(known.resolved, beside=(NewNodes(None, 0),))
    assert replace(known, resolved=anything).may_place((odd,))


def test_a_pod_that_nodes_to_come_are_too_small_for_waits_for_none() -> None:
    """It closes the type for nobody, as one that no label of theirs allows."""
    pool = GpuNodePool("a", 64, 0, 8, ("H100",), {}, (), ())
    for new in (NewNodes(pool, 64, 8, "NodePool/a"), NewNodes(None, 64, 8, "node group a")):
        known = replace(
            supply(), nodes=[node("n1", 8)], resolved=replace(supply().resolved, new=(new,))
        )
        assert known.may_place((shape(8),))
        assert not known.may_place((shape(16),))
        assert not known.is_asked_of(new.source, [(shape(16),)])
    guessed = replace(known.resolved, new=(NewNodes(None, 64, 8),))
    assert replace(known, resolved=guessed).may_place((shape(16),)), "others may come as well"


@pytest.mark.parametrize(
    ("gpus", "pod", "promised"),
    [
        (12, 4, 12),
        (12, 8, 8),
        (12, 16, 0),
        (12, 1, 12),
        (4, 4, 4),
        (4, 8, 0),
        (7, 1, 4),
        (20, 2, 20),
    ],
)
def test_nodes_to_come_are_whole_nodes_of_the_sizes_that_they_may_have(
    gpus: int, pod: int, promised: int
) -> None:
    new = NewNodes(None, gpus, 8, "NodePool/a", smaller=(4,))
    assert new.schedulable("H100", pod, (shape(pod),)) == promised


@pytest.mark.parametrize(
    ("gpus", "pod", "promised"), [(12, 4, 8), (12, 8, 8), (12, 16, 0), (16, 6, 12), (7, 1, 0)]
)
def test_nodes_of_one_size_bring_whole_pods(gpus: int, pod: int, promised: int) -> None:
    for pods in ((shape(pod),), ()):
        assert NewNodes(None, gpus, 8).schedulable("H100", pod, pods) == promised


def test_what_was_given_already_no_refusal_takes_away() -> None:
    given = NewNodes(None, 8, 8, "node group a", is_coming=True)
    new = (NewNodes(None, 32, 8, "node group a"), given)
    closed = SupplySource("node group a", 32, REFUSED, may_ask=False)
    dry = replace(
        supply(ceiling=56), resolved=replace(supply().resolved, ceiling=56, new=new, limit=56)
    )
    assert dry.room(0, need()).gpus == 40
    assert replace(dry, sources=(closed,)).room(0, need()).gpus == 8
    assert replace(dry, may_ask=False).room(0, need()).gpus == 0, "nor does it come for sure"
