"""GPUs of a budget are handed out by what is held, never by what will be free."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, strategies as st

from services.operator.cluster.quotas import GpuQuota
from services.operator.kueue.queue_room import QueueRoom
from services.operator.plan.gpu_room import (
    Draw,
    GpuRoom,
    SharedGpus,
    TargetUse,
    drawn_beside,
    shared_gpus,
)

uses = st.builds(
    TargetUse,
    st.just("H100"),
    st.integers(1, 4),
    st.integers(0, 6),
    st.integers(0, 6),
    st.integers(0, 3),
)


def use(spec: int, staying: int = 0, leaving: int = 0, gpus: int = 1) -> TargetUse:
    return TargetUse("H100", gpus, spec, staying, leaving)


def test_what_is_held_is_asked_for_or_there_and_what_leaves_as_well() -> None:
    assert use(3, staying=2).held() == 3
    assert use(1, staying=2, leaving=2).held() == 4
    assert use(1, staying=2, leaving=2, gpus=4).held(spec=3) == 20


def test_a_rise_waits_as_a_whole_while_what_leaves_will_make_room() -> None:
    target, other = use(2, staying=2), use(4, staying=5, leaving=1)
    room = GpuRoom.of({"H100": 8}, [target, other])
    grant = room.grant(target, 4, takes_part=False)
    assert (grant.count, grant.reason) == (2, "8 GPUs of H100 are allowed and 8 still held")
    room = GpuRoom.of({"H100": 9}, [target, other])
    assert room.grant(target, 4, takes_part=True).count == 3


def test_what_will_never_fit_takes_what_is_free() -> None:
    target = use(2, staying=2)
    room = GpuRoom.of({"H100": 8}, [target, use(5, staying=5)])
    assert room.grant(target, 9, takes_part=False).count == 3


def test_a_fall_frees_nothing_now_and_all_of_it_later() -> None:
    target, other = use(2, staying=2), use(6, staying=6)
    room = GpuRoom.of({"H100": 8}, [target, other])
    room.lower(other, 4)
    assert room.grant(target, 4, takes_part=False).count == 2
    room = GpuRoom.of({"H100": 8}, [target, use(4, staying=4)])
    assert room.grant(target, 4, takes_part=False).count == 4


def test_pods_that_are_there_still_cost_nothing_more() -> None:
    """A scaling-in that is taken back before its pods were deleted."""
    target = use(2, staying=4)
    room = GpuRoom.of({"H100": 8}, [target, use(4, staying=4)])
    assert room.grant(target, 4, takes_part=False).count == 4


def test_pods_that_are_there_still_are_not_kept_beyond_the_budget() -> None:
    """Another hand had scaled it beyond the budget, and down again: what stands is to go."""
    target = use(0, staying=6)
    room = GpuRoom.of({"H100": 8}, [target, use(6, staying=6)])
    assert room.grant(target, 5, takes_part=False).count == 2


def test_types_without_a_budget_are_free_and_unreadable_ones_are_held() -> None:
    assert GpuRoom.of({}, []).grant(use(2), 9, takes_part=False).count == 9
    grant = GpuRoom.of({"H100": None}, []).grant(use(2), 9, takes_part=True)
    assert (grant.count, grant.reason) == (2, "the GPUBudget of H100 cannot be read")


def test_where_the_minima_alone_exceed_the_budget_they_come_first() -> None:
    target, other = replace(use(1, staying=1), least=3), replace(use(4, staying=4), least=4)
    room = GpuRoom.of({"H100": 6}, [target, other])
    assert room.grant(target, 5, takes_part=False).count == 3
    room = GpuRoom.of({"H100": 7}, [target, replace(other, spec=6, staying=6)])
    assert room.grant(target, 5, takes_part=False).count == 1


@given(st.lists(uses, min_size=1, max_size=5), st.integers(0, 60), st.data())
def test_grants_never_raise_what_is_held_beyond_the_budget(
    fleet: list[TargetUse], budget: int, data: st.DataObject
) -> None:
    room = GpuRoom.of({"H100": budget}, fleet)
    after = []
    for target in fleet:
        wanted = target.spec + data.draw(st.integers(1, 6))
        count = room.grant(target, wanted, takes_part=data.draw(st.booleans())).count
        assert target.spec <= count <= wanted
        after.append(replace(target, spec=count))
    before_gpus = sum(each.held() for each in fleet)
    assert sum(each.held() for each in after) <= max(budget, before_gpus)
    asked = [sum(each.gpus_per_replica * each.spec for each in some) for some in (fleet, after)]
    assert asked[1] <= max(budget, asked[0])


def test_rooms_are_shared_by_name_and_kind() -> None:
    one = SharedGpus("ClusterQueue/a", 8, "", frozenset({"h100", "l4"}))
    draws = [Draw(one, 3), Draw(replace(one, kinds=frozenset({"l4"})), 2)]
    assert drawn_beside(one, draws) == 5
    assert drawn_beside(replace(one, kinds=frozenset({"h100"})), draws) == 3
    assert drawn_beside(replace(one, name="ClusterQueue/b"), draws) == 0


def test_a_target_draws_on_its_queue_its_cohort_and_its_quota() -> None:
    flavors = frozenset({"h100"})
    queue = QueueRoom("ClusterQueue/a", 6, "QuotaExceeded", "told", flavors, "all", 9)
    quota = GpuQuota("gpus", 10, 8)
    rooms = shared_gpus(queue, quota, "serving")
    assert [(room.name, room.gpus, room.yields) for room in rooms] == [
        ("ClusterQueue/a", 6, False),
        ("Cohort/all", 9, False),
        ("ResourceQuota/gpus of serving", 2, True),
    ]
    unknown = replace(queue, gpus=None, cohort_gpus=None)
    assert shared_gpus(unknown, None, "serving") == shared_gpus(None, None, "serving") == ()
