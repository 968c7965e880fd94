"""What a queue leaves: never more than its quota, and nothing where that is not known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, strategies as st

from services.operator.cluster.placement import Requirement, Taint, Toleration
from services.operator.kueue.queue_room import QueuedPods, QueueRoom, free_of, queue_room
from services.operator.kueue.queues import (
    ClusterQueue,
    Flavor,
    FlavorQuota,
    LocalQueue,
    SeenQueues,
)
from tests.unit.operator.pods import node, shape

GPU, PRODUCT = "nvidia.com/gpu", "nvidia.com/gpu.product"
H100 = FlavorQuota("h100", GPU, 16, reserved=10)
FLAVORS = {
    "h100": Flavor("h100", {PRODUCT: "NVIDIA-H100-80GB-HBM3"}),
    "l4": Flavor("l4", {PRODUCT: "NVIDIA-L4"}),
}
PODS = QueuedPods("serving", "q", "H100", 4, (shape(4),), (node("n", 8),))
ZONE_A = Flavor("h100", {"zone": "a"})


def asking(**given: Any) -> QueuedPods:
    return replace(PODS, shape=(shape(4, **given),))


def seen(*queues: ClusterQueue, **changes: Any) -> SeenQueues:
    local = LocalQueue(("serving", "q"), "team-a")
    found = SeenQueues(
        True, True, {local.key: local}, {each.name: each for each in queues}, FLAVORS
    )
    return replace(found, **changes)


def found(queues: SeenQueues, pods: QueuedPods = PODS) -> QueueRoom:
    room = queue_room(queues, pods)
    assert room is not None
    return room


def test_whole_replicas_of_what_the_quota_leaves() -> None:
    room = found(seen(ClusterQueue("team-a", (H100,))))
    assert (room.name, room.gpus, room.reason) == ("ClusterQueue/team-a", 4, "QuotaExceeded")
    assert room.message == (
        "ClusterQueue/team-a leaves 6 of 16 nvidia.com/gpu; raise its quota to allow more"
    )
    assert room.flavors == {"h100"}


def test_pods_that_are_not_queued_and_clusters_without_kueue_have_no_queue() -> None:
    queue = ClusterQueue("team-a", (H100,))
    assert queue_room(seen(queue), replace(PODS, queue="")) is None
    assert queue_room(SeenQueues(True), PODS) is None


@pytest.mark.parametrize(
    ("queues", "name", "gpus", "reason", "words"),
    [
        (SeenQueues(), "LocalQueue/q", None, "QueuesNotRead", "HARMONY_OPERATOR_KUEUE is false"),
        (
            SeenQueues(True, True, problem="forbidden; grant it"),
            "LocalQueue/q",
            None,
            "QuotaUnreadable",
            "forbidden; grant it",
        ),
        (seen(local={}), "LocalQueue/q", 0, "QueueNotFound", "does not exist in namespace serving"),
        (seen(), "ClusterQueue/team-a", 0, "QueueNotFound", "LocalQueue/q names"),
        (
            seen(ClusterQueue("team-a", (H100,), problem="its stopPolicy is Hold")),
            "ClusterQueue/team-a",
            0,
            "QueueStopped",
            "admits no pods: its stopPolicy is Hold",
        ),
        (
            seen(ClusterQueue("team-a", (replace(H100, resource="amd.com/gpu"),))),
            "ClusterQueue/team-a",
            None,
            "QuotaUnknown",
            "has a quota on nvidia.com/gpu",
        ),
        (
            seen(ClusterQueue("team-a", (replace(H100, reserved=None),))),
            "ClusterQueue/team-a",
            None,
            "QuotaUnknown",
            "is not counted yet",
        ),
    ],
)
def test_what_cannot_be_told_is_not_zero(
    queues: SeenQueues, name: str, gpus: int | None, reason: str, words: str
) -> None:
    room = found(queues)
    assert (room.name, room.gpus, room.reason) == (name, gpus, reason)
    assert words in room.message


def test_a_local_queue_that_is_stopped_admits_nothing() -> None:
    local = LocalQueue(("serving", "q"), "team-a", "its stopPolicy is HoldAndDrain")
    room = found(seen(ClusterQueue("team-a", (H100,)), local={local.key: local}))
    assert (room.name, room.gpus, room.reason) == ("LocalQueue/q", 0, "QueueStopped")


def test_flavors_of_other_gpus_do_not_count() -> None:
    l4 = FlavorQuota("l4", GPU, 100, reserved=0)
    room = found(seen(ClusterQueue("team-a", (l4, H100))))
    assert (room.gpus, room.flavors) == (4, {"h100"})


@pytest.mark.parametrize(
    ("flavor", "pods", "gpus"),
    [
        (Flavor("h100"), PODS, 4),
        (ZONE_A, PODS, 4),
        (ZONE_A, asking(selector=(("zone", "b"),)), None),
        (ZONE_A, asking(selector=(("disk", "b"),)), 4),
        (ZONE_A, asking(affinity=((Requirement("zone", "In", ("b",)),),)), None),
        (Flavor("h100", {}, (Taint("spot", "", "NoSchedule"),)), PODS, None),
        (
            Flavor(
                "h100",
                {},
                (Taint("spot", "", "NoSchedule"),),
                (Toleration("spot", "", "", is_any_value=True),),
            ),
            PODS,
            4,
        ),
        (Flavor("h100", {"kind": "l4"}), replace(PODS, nodes=(
            node("a", 8), node("b", 8, product="NVIDIA-L4", labels={"kind": "l4"}),
        )), None),
    ],
)  # fmt: skip
def test_a_flavor_counts_where_the_pods_may_have_it(
    flavor: Flavor, pods: QueuedPods, gpus: int | None
) -> None:
    queues = seen(ClusterQueue("team-a", (H100,)), flavors={"h100": flavor})
    assert found(queues, pods).gpus == gpus


def test_each_resource_that_a_replica_asks_for_needs_quota() -> None:
    both = (replace(shape(4), asked=(*shape(4).asked, *shape(1, "amd.com/gpu").asked)),)
    amd = FlavorQuota("amd", "amd.com/gpu", 3, reserved=3)
    room = found(seen(ClusterQueue("team-a", (H100, amd))), replace(PODS, shape=both))
    assert room.gpus == 0
    assert "0 of 3 amd.com/gpu and 6 of 16 nvidia.com/gpu" in room.message


def test_nothing_is_borrowed_unless_it_is_stated_how_much() -> None:
    own = replace(H100, reserved=14)
    idle = ClusterQueue("team-b", (replace(H100, nominal=40, reserved=0),), "all")
    for borrowing, left in ((None, 2), (0, 2), (8, 10), (100, 42)):
        queue = ClusterQueue("team-a", (replace(own, borrowing=borrowing),), "all")
        every = {"team-a": queue, "team-b": idle}
        assert free_of(queue, queue.quotas[0], every) == left


def test_what_the_cohort_has_lent_is_not_there() -> None:
    queue = ClusterQueue("team-a", (replace(H100, reserved=0, borrowing=8),), "all")
    greedy = ClusterQueue("team-b", (replace(H100, nominal=4, reserved=15),), "all")
    every = {"team-a": queue, "team-b": greedy}
    assert free_of(queue, queue.quotas[0], every) == 5
    kept = ClusterQueue("team-a", (replace(queue.quotas[0], lending=4),), "all")
    assert free_of(kept, kept.quotas[0], {**every, "team-a": kept}) == 12


def test_what_a_cohort_leaves_is_told_beside_the_queues_own() -> None:
    queue = ClusterQueue("team-0", (replace(H100, nominal=8, reserved=0, borrowing=2),), "all")
    other = ClusterQueue("team-1", (replace(H100, nominal=8, reserved=4),), "all")
    local = {("serving", "q"): LocalQueue(("serving", "q"), "team-0")}
    pods = replace(PODS, gpus_per_replica=1, shape=(shape(1),))
    room = found(seen(queue, other, local=local), pods)
    assert (room.gpus, room.cohort, room.cohort_gpus) == (10, "all", 12)
    unread = replace(other, quotas=(replace(H100, reserved=None),))
    assert found(seen(queue, unread, local=local), pods).cohort_gpus is None
    alone = replace(queue, cohort="")
    assert found(seen(alone, other, local=local), pods).cohort_gpus is None


AMOUNT = st.integers(0, 40)
QUOTA = st.builds(
    FlavorQuota,
    st.just("h100"),
    st.just(GPU),
    AMOUNT,
    st.none() | AMOUNT,
    st.none() | AMOUNT,
    AMOUNT,
)


@given(st.lists(QUOTA, min_size=1, max_size=4), st.booleans(), st.integers(1, 8))
def test_no_more_than_the_quota_is_ever_left(
    quotas: list[FlavorQuota], has_cohort: bool, size: int
) -> None:
    cohort = "all" if has_cohort else ""
    queues = [ClusterQueue(f"team-{i}", (each,), cohort) for i, each in enumerate(quotas)]
    every = {each.name: each for each in queues}
    first, quota = queues[0], quotas[0]
    left = free_of(first, quota, every)
    assert left is not None
    assert left >= 0
    borrowing = (quota.borrowing or 0) if has_cohort else 0
    assert left <= max(0, (quota.nominal or 0) + borrowing - (quota.reserved or 0))
    if has_cohort and left:
        together = sum((each.nominal or 0) for each in quotas)
        assert left <= together - (quota.reserved or 0)
    local = {("serving", "q"): LocalQueue(("serving", "q"), "team-0")}
    pods = replace(PODS, gpus_per_replica=size, shape=(shape(size),))
    room = found(seen(*queues, local=local), pods)
    assert room.gpus == left // size * size
