"""GPUs that replicas could have: on the right nodes, in whole pods, in whole groups."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, strategies as st

from services.operator.cluster.accelerators import Accelerators
from services.operator.cluster.free_gpus import (
    Fitting,
    FreeGpus,
    NodeRoom,
    RoomLeft,
    beside_waiting,
    free_gpus,
)
from services.operator.cluster.ownership import OwnedPod
from services.operator.cluster.placement import (
    NodeState,
    PodShape,
    Taint,
    Toleration,
    to_node,
    to_pod_shape,
)
from tests.unit.operator.examples import NOW
from tests.unit.operator.pods import listed, node, pod, room, shape

TAINT = Taint("dedicated", "train", "NoSchedule")
MIG = "nvidia.com/mig-1g.5gb"
RESOURCES = ["nvidia.com/gpu", "amd.com/gpu", "habana.ai/gaudi"]


def test_free_gpus_are_whole_pods_on_nodes_that_take_pods() -> None:
    given = [
        listed("n1", 8),
        listed("n2", 8),
        listed("n3", 8, is_cordoned=True),
        listed("n4", 8, ready="False"),
        listed("n5", 4, product="NVIDIA-L4"),
    ]
    nodes = [node for node in map(to_node, given) if node is not None]
    held = [pod("a", gpus=5), pod("b", node="n2", gpus=3, is_leaving=True), pod("c", node="")]
    free = free_gpus(nodes, held)
    assert free.schedulable("H100", 1) == 3 + 5
    assert free.schedulable("H100", 2) == 2 + 4
    assert free.schedulable("H100", 4) == 0 + 4
    assert free.schedulable("L4", 4) == 4
    assert free.schedulable("B200", 1) is None


def test_free_gpus_are_warm_on_nodes_that_have_the_images() -> None:
    given = [listed("n1", 8), listed("n2", 8), listed("n3", 4, product="NVIDIA-L4")]
    given[0]["status"]["images"] = [{"names": ["model:v1"]}]
    given[1]["status"]["images"] = [{"names": ["other"]}]
    nodes = [node for node in map(to_node, given) if node is not None]
    free = free_gpus(nodes, [pod("a", gpus=2)])
    resources = {"limits": {"nvidia.com/gpu": "4"}}

    def with_images(*images: str) -> tuple[PodShape, ...]:
        containers = [{"image": image, "resources": resources} for image in images]
        return (to_pod_shape({"containers": containers}, is_template=True),)

    assert free.warm("H100", 4, with_images("model:v1")) == 4
    assert free.warm("H100", 4, with_images("model:v2")) == 0
    assert free.warm("L4", 4, with_images("model:v1")) is None, "its nodes say nothing of images"
    assert free.warm("H100", 4, ()) is None, "nobody knows which images a replica needs"


def test_a_pod_that_fits_nowhere_has_no_gpus_but_its_type_is_there() -> None:
    free = FreeGpus((room(node("n", 8, taints=(TAINT,)), 8),))
    assert free.schedulable("H100", 1, (shape(1),)) == 0


def test_the_pods_own_gpus_count_where_they_are_known() -> None:
    """A replica of two GPUs whose pods ask for four leaves room for two, not four."""
    free = FreeGpus((room(node("n", 8), 8),))
    assert free.schedulable("H100", 2, (shape(4),)) == 2 * 2


def test_replicas_may_stand_on_nodes_of_which_nothing_tells_what_they_are() -> None:
    free = FreeGpus((room(node("n", 8, product="", taints=(TAINT,)), 8),))
    tolerant = shape(8, tolerations=(Toleration("dedicated", "train", "", False),))
    assert free.schedulable("H100", 8, (tolerant,)) is None
    assert free.may_be_elsewhere("H100", (tolerant,))
    assert free.may_be_elsewhere("H100", ()), "nothing says that they may not"
    assert not free.may_be_elsewhere("H100", (shape(8),)), "the taint keeps them away"
    assert not free.may_be_elsewhere("MI300X", (shape(8, "amd.com/gpu"),))
    assert not FreeGpus((room(node("n", 8), 8),)).may_be_elsewhere("L4", (shape(8),))


def test_the_same_devices_are_free_once_where_the_pods_are_not_known() -> None:
    every: frozenset[Hashable] = frozenset(range(8))
    accelerators = tuple(Accelerators(name, "H100", 8) for name in ("class?a", "class?b"))
    own = NodeState("n", accelerators, devices={"class?a": every, "class?b": every})
    free = FreeGpus((NodeRoom(own, {"class?a": 6, "class?b": 6}),))
    assert free.schedulable("H100", 2) == 6


def test_a_group_may_stand_on_several_nodes_but_stands_whole() -> None:
    free = FreeGpus(tuple(room(node(n, 8), gpus) for n, gpus in (("a", 3), ("b", 3), ("c", 1))))
    assert free.schedulable("H100", 4, (shape(2), shape(2))) == 4
    assert free.schedulable("H100", 4) == 0
    assert free.schedulable("H100", 3, (shape(1),) * 3) == 6


MIXED = to_node(
    {
        "metadata": {"name": "n1", "labels": {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB"}},
        "status": {"allocatable": {"nvidia.com/gpu": "6", MIG: "14"}},
    }
)


def test_a_replica_fits_where_its_own_resource_is_free() -> None:
    assert MIXED is not None
    free = free_gpus([MIXED], [pod("a", gpus=2), pod("b", gpus=10, resource=MIG)])
    assert free.schedulable("A100", 1, (shape(1),)) == 4
    assert free.schedulable("A100-MIG-1g.5gb", 1, (shape(1, MIG),)) == 4
    assert free.schedulable("A100-MIG-1g.5gb", 1, ()) == 4
    assert free.schedulable("A100", 1, (shape(1, MIG),)) is None, "no slice is an A100"
    assert free.schedulable("H100", 1, (shape(1),)) is None


def test_a_pod_of_several_resources_needs_all_of_them() -> None:
    assert MIXED is not None
    both = PodShape((*shape(2).asked, *shape(7, MIG).asked))
    assert free_gpus([MIXED], []).schedulable("A100", 9, (both,)) == 2 * 9
    assert free_gpus([MIXED], [pod("a", gpus=3)]).schedulable("A100", 9, (both,)) == 9


def test_a_slice_is_no_room_for_whole_gpus() -> None:
    """With the single strategy and with time slices the resource is that of whole GPUs."""
    sliced = [node("a", 56, product="NVIDIA-A100-SXM4-40GB-MIG-1g.5gb")]
    shared = [node("b", 80, product="NVIDIA-A100-SXM4-40GB-SHARED")]
    whole = [node("c", 8, product="NVIDIA-A100-SXM4-40GB")]
    free = free_gpus([*sliced, *shared, *whole], [])
    assert free.schedulable("A100", 1, (shape(1),)) == 8
    assert free.schedulable("A100-MIG-1g.5gb", 1, (shape(1),)) == 56
    assert free.schedulable("A100-SHARED", 1, (shape(1),)) == 80


counts = st.dictionaries(st.sampled_from(RESOURCES), st.integers(0, 16))


@given(st.lists(counts, min_size=1, max_size=4), st.lists(st.tuples(counts, st.integers(0, 3))))
def test_what_is_free_of_a_resource_hangs_on_that_resource_alone(
    nodes: list[dict[str, int]], pods: list[tuple[dict[str, int], int]]
) -> None:
    listed_nodes = [
        NodeState(f"n{i}", tuple(Accelerators(r, "", n) for r, n in each.items()))
        for i, each in enumerate(nodes)
    ]
    held = [
        replace(
            pod("p", node=f"n{at}"), asked=tuple(Accelerators(r, "", n) for r, n in each.items())
        )
        for each, at in pods
    ]
    free = free_gpus(listed_nodes, held)
    for i, (found, offers) in enumerate(zip(free.by_node, nodes, strict=True)):
        for resource, count in offers.items():
            taken = sum(each.get(resource, 0) for each, at in pods if at == i)
            assert found.free[resource] == max(0, count - taken)
    for resource in RESOURCES:
        asked = (shape(2, resource),)
        wanted = sum(room.free.get(resource, 0) // 2 * 2 for room in free.by_node)
        is_there = any(resource in each for each in nodes)
        assert free.schedulable(resource, 2, asked) == (wanted if is_there else None)


sizes = st.lists(st.integers(0, 8), min_size=1, max_size=5)
replicas = st.integers(0, 12)


@given(sizes, st.integers(1, 4), replicas)
def test_what_has_a_place_is_free_no_longer(free: list[int], gpus: int, n: int) -> None:
    before = FreeGpus(tuple(room(node(f"n{i}", 8), each) for i, each in enumerate(free)))
    for pods in ((), (shape(gpus),)):
        there = before.schedulable("H100", gpus, pods) or 0
        places = before.place("H100", gpus, pods, n)
        assert places.n_placed == min(n, there // gpus)
        assert (places.left.schedulable("H100", gpus, pods) or 0) == max(0, there - n * gpus)
        assert all(min(each.free.values()) >= 0 for each in places.left.by_node)


@given(sizes, st.lists(st.integers(1, 3), min_size=2, max_size=3), replicas)
def test_a_group_without_room_for_all_its_pods_takes_nothing(
    free: list[int], gpus: list[int], n: int
) -> None:
    before = FreeGpus(tuple(room(node(f"n{i}", 8), each) for i, each in enumerate(free)))
    pods, size = tuple(shape(each) for each in gpus), sum(gpus)
    n_placed = min(n, (before.schedulable("H100", size, pods) or 0) // size)
    places = before.place("H100", size, pods, n)
    assert places.n_placed == n_placed
    left = sum(each.free["nvidia.com/gpu"] for each in places.left.by_node)
    assert left == sum(free) - n_placed * size


def plain_search(rooms: list[NodeRoom], pods: list[PodShape], most: int) -> list[NodeRoom]:
    """First fit as it is said: each pod looks at all rooms from the first one."""
    for _ in range(most):
        left = list(rooms)
        for each in sorted(pods, key=lambda each: -each.gpus):
            fitting = [i for i, r in enumerate(left) if r.takes(each, "H100") and r.n_fitting(each)]
            if not fitting:
                return rooms
            left[fitting[0]] = left[fitting[0]].without(each)
        rooms = left
    return rooms


some_rooms = st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=6)
some_pods = st.lists(st.tuples(st.integers(1, 4), st.booleans()), min_size=2, max_size=5)


@given(some_rooms, some_pods, replicas)
def test_groups_have_the_places_that_a_plain_search_gives_them(
    free: list[tuple[int, bool]], asked: list[tuple[int, bool]], n: int
) -> None:
    dear, tolerant = (TAINT,), (Toleration("dedicated", "train", "", False),)
    rooms = [
        room(node(f"n{i}", 8, taints=dear if is_dear else ()), count)
        for i, (count, is_dear) in enumerate(free)
    ]
    pods = [shape(count, tolerations=tolerant if is_any else ()) for count, is_any in asked]
    places = FreeGpus(tuple(rooms)).place("H100", 1, tuple(pods), n)
    assert [each.free for each in places.left.by_node] == [
        each.free for each in plain_search(rooms, pods, n)
    ]


@pytest.mark.parametrize(("n_free", "size"), [(8, 4), (0, 1024), (8, 1024)])
def test_the_work_for_groups_grows_with_the_nodes_and_not_with_their_square(
    monkeypatch: pytest.MonkeyPatch, n_free: int, size: int
) -> None:
    """A ceiling of thousands of GPUs is as many nodes to come, and each pass asks again."""
    looks = {"takes": 0, "n_fitting": 0}

    def counted(name: str) -> Callable[..., Any]:
        real = getattr(NodeRoom, name)

        def look(*given: Any) -> Any:
            looks[name] += 1
            return real(*given)

        return look

    for name in looks:
        monkeypatch.setattr(NodeRoom, name, counted(name))
    n_nodes = 500
    free = FreeGpus(tuple(room(node(f"n{i}", 8), n_free) for i in range(n_nodes)))
    n_groups = n_nodes * n_free // size
    assert free.schedulable("H100", size, (shape(1),) * size) == n_groups * size
    assert looks["takes"] == n_nodes
    assert looks["n_fitting"] <= n_nodes + (n_groups + 1) * size


def test_places_are_on_nodes_that_take_the_pods() -> None:
    free = FreeGpus((room(node("dear", 8, taints=(TAINT,)), 8), room(node("n", 8), 4)))
    places = free.place("H100", 2, (shape(2),), 9)
    assert places.n_placed == 2
    assert [(each.node.name, each.free["nvidia.com/gpu"]) for each in places.left.by_node] == [
        ("dear", 8)
    ]
    nothing = free.place("L4", 1, (), 3)
    assert (nothing.n_placed, nothing.left.by_node) == (0, free.by_node)
    assert free.place("H100", 2, (shape(2),), -1).n_placed == 0


def test_devices_that_have_a_place_are_free_for_no_other_claim() -> None:
    """Services select the same devices in ways of their own."""
    names = {"class?all": frozenset(range(8)), "class?large": frozenset(range(4))}
    accelerators = tuple(Accelerators(name, "H100", len(own)) for name, own in names.items())
    own = NodeState("n", accelerators, devices=dict[str, frozenset[Hashable]](names))
    free = FreeGpus((NodeRoom(own, {"class?all": 8, "class?large": 4}),))
    left = free.place("H100", 2, (shape(2, "class?large"),), 1).left
    assert left.by_node[0].free == {"class?all": 6, "class?large": 2}
    assert free.place("H100", 2, (), 1).left.schedulable("H100", 2) == 6


def waits(name: str, n_gpus: int, nominated: str = "", **needs: Any) -> OwnedPod:
    """A pod of others without a node."""
    state = pod(name, node="", ready_s=None, gpus=n_gpus, nominated=nominated)
    return OwnedPod(state, None, shape(n_gpus, **needs))


def beside(
    nodes: dict[str, int], *waiting: OwnedPod, known: Fitting | None = None, minutes: float = 0
) -> RoomLeft:
    """What is left of so many free GPUs on nodes of eight."""
    free = FreeGpus(tuple(room(node(name, 8), n) for name, n in nodes.items()))
    return beside_waiting(free, waiting, known or {}, NOW + timedelta(minutes=minutes))


def left(found: RoomLeft) -> list[int]:
    return [each.free["nvidia.com/gpu"] for each in found.free.by_node]


def test_a_pod_that_waits_takes_what_is_free_on_one_node_that_takes_it() -> None:
    assert left(beside({"a": 3, "b": 8}, waits("x", 4))) == [3, 4]
    assert left(beside({"a": 3, "b": 3}, waits("x", 4))) == [3, 3], "it fits on none"
    elsewhere = waits("x", 2, selector=(("zone", "b"),))
    assert left(beside({"a": 8}, elsewhere)) == [8]
    assert left(beside({"a": 8}, waits("x", 2, resource=MIG))) == [8]


def test_pods_that_wait_take_places_beside_each_other() -> None:
    three = [waits(name, 4) for name in "xyz"]
    found = beside({"a": 4, "b": 6}, *three)
    assert left(found) == [0, 2]
    assert {uid for uid, _ in found.fitting} == set("xyz"), "each would fit by itself"


def test_a_pod_that_fitted_for_five_minutes_and_was_not_placed_counts_no_longer() -> None:
    known: Fitting = {}
    seen = []
    for minutes in (0, 2, 5, 5.1, 9):
        found = beside({"a": 8}, waits("x", 8), waits("y", 8), known=known, minutes=minutes)
        known = found.fitting
        seen += left(found)
    assert seen == [0, 0, 0, 8, 8], "and the second one does not begin where the first one ends"
    busy = beside({"a": 0}, waits("x", 8), known=known, minutes=10)
    assert left(beside({"a": 8}, waits("x", 8), known=busy.fitting, minutes=11)) == [8]
    assert set(busy.fitting) == {("x", "")}, "one that is gone is forgotten"


def test_a_pod_that_did_not_fit_has_not_been_passed_over() -> None:
    """However long it waited: it is the first to have what becomes free."""
    first = beside({"a": 8}, waits("x", 8))
    busy = beside({"a": 4}, waits("x", 8), known=first.fitting, minutes=4)
    assert not busy.fitting
    assert left(beside({"a": 8}, waits("x", 8), known=busy.fitting, minutes=9)) == [0]


def test_what_is_made_free_for_a_pod_is_its_own() -> None:
    """The pods that go for it hold the rest of it still."""
    nominated = waits("x", 8, nominated="b")
    found = beside({"a": 8, "b": 3}, nominated)
    assert (left(found), found.fitting) == ([8, 0], {})
    passed = {("x", ""): NOW - timedelta(hours=1)}
    assert left(beside({"a": 8, "b": 8}, nominated, known=passed)) == [8, 0]
    since = {("x", "b"): NOW - timedelta(hours=1)}
    assert left(beside({"a": 8, "b": 8}, nominated, known=since)) == [8, 8]
    assert left(beside({"a": 8}, waits("x", 8, nominated="gone"))) == [0]


@given(
    st.lists(st.integers(0, 8), max_size=5),
    st.lists(st.integers(1, 8), max_size=8),
)
def test_what_is_left_beside_pods_that_wait_is_what_they_do_not_take(
    n_free: list[int], asked: list[int]
) -> None:
    nodes = {f"n{at}": each for at, each in enumerate(n_free)}
    given = [waits(f"p{at}", each) for at, each in enumerate(asked)]
    found = left(beside(nodes, *given))
    assert all(0 <= now <= before for now, before in zip(found, n_free, strict=True))
    placed = sum(n_free) - sum(found)
    assert placed <= sum(asked)
    if sum(asked) > placed:
        assert max(found, default=0) < max(asked)


def test_many_pods_of_one_kind_look_at_each_node_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    real = NodeRoom.n_fitting
    monkeypatch.setattr(NodeRoom, "n_fitting", lambda *a: looks.append(a) or real(*a))
    given = [waits(f"p{n}", 8) for n in range(300)]
    beside({f"n{n}": 8 for n in range(100)}, *given)
    assert len(looks) <= 100 + 100 + 300 * 2
