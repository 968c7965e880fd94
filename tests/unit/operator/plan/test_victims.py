"""Marks make a ReplicaSet lose the pods that are worth least, and are written only when needed."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

from hypothesis import given, strategies as st

from services.operator.cluster.pods import PodState
from services.operator.plan.victims import MAX_MARKS, marks
from tests.unit.operator.examples import NOW
from tests.unit.operator.pods import pod


def controller_takes(pods: list[PodState], n_lost: int, *, is_logarithmic: bool = True) -> set[str]:
    """What a ReplicaSet controller deletes, as its `ActivePodsWithRanks` compares.

    Of ages it goes by the whole part of the logarithm, and of equal ones by the uid; where
    LogarithmicScaleDown is switched off, by the age itself.
    """
    spread = Counter(p.node for p in pods)

    def rank(p: PodState) -> tuple[bool, bool, int, int, float, str]:
        age_s = (NOW - (p.ready_at or p.created_at)).total_seconds()
        return (
            bool(p.node),
            p.ready_at is not None,
            p.deletion_cost or 0,
            -spread[p.node],
            math.floor(math.log2(age_s * 1e9)) if is_logarithmic else age_s,
            p.uid,
        )

    return {p.name for p in sorted(pods, key=rank)[:n_lost]}


def after(
    pods: list[PodState], replicas: int, in_flight: dict[str, float] | None = None
) -> set[str]:
    """Pods that are left when the marks have been written and the target is scaled in."""
    written = {m.pod.name: m.cost for m in marks(pods, replicas, NOW, in_flight or {})}
    marked = [
        replace(p, deletion_cost=written[p.name], is_marked=written[p.name] is not None)
        if p.name in written
        else p
        for p in pods
    ]
    n_lost = len(pods) - replicas
    taken = controller_takes(marked, n_lost)
    exactly = controller_takes(marked, n_lost, is_logarithmic=False)
    # where nothing tells the pods apart, either way is right
    assert taken == exactly or len({p.ready_at for p in pods}) < len(pods)
    return {p.name for p in pods} - taken


def test_the_youngest_goes_though_two_others_share_a_node() -> None:
    pods = [pod("a", ready_s=-900), pod("b", ready_s=-800), pod("c", node="n2", ready_s=-10)]
    (mark,) = marks(pods, 2, NOW)
    assert (mark.pod.name, mark.cost) == ("c", -1)
    assert after(pods, 2) == {"a", "b"}


def test_of_two_old_pods_the_younger_goes_though_the_controller_holds_them_for_equal() -> None:
    """It compares ages by their logarithm: of two hours and a half and of five minutes more."""
    pods = [pod("a", ready_s=-9300), pod("b", ready_s=-9000)]
    assert controller_takes(pods, 1) == {"a"}
    assert after(pods, 1) == {"a"}
    requests = {"a": 9.0, "b": 0.0}
    assert after(pods, 1, requests) == {"a"}


def test_the_pod_of_the_fewest_requests_goes_though_another_is_younger() -> None:
    pods = [pod("a", ready_s=-900), pod("b", ready_s=-800), pod("c", ready_s=-10)]
    assert after(pods, 2, {"a": 3.0, "b": 0.0, "c": 7.0}) == {"a", "c"}
    assert after(pods, 1, {"a": 3.0, "b": 0.0, "c": 7.0}) == {"c"}
    assert after(pods, 2, {"a": 2.0, "b": 2.0, "c": 2.0}) == {"a", "b"}, "then the youngest"


def test_where_a_ready_pod_has_no_reading_none_is_gone_by() -> None:
    pods = [pod("a", ready_s=-900), pod("b", ready_s=-800), pod("c", ready_s=-10)]
    assert after(pods, 2, {"a": 0.0, "b": 1.0}) == {"a", "b"}
    starting = pod("d", ready_s=None, created_s=-5)
    known = {"a": 0.0, "b": 1.0, "c": 2.0}
    assert after([*pods, starting], 3, known) == {"a", "b", "c"}, "a starting one has none"
    assert after([*pods, starting], 2, known) == {"b", "c"}


def test_nothing_is_written_when_the_right_ones_go_anyway() -> None:
    same_node = [pod("a", ready_s=-900), pod("b", ready_s=-10)]
    assert marks(same_node, 1, NOW) == []
    waiting = [pod("a"), pod("b", node="n2"), pod("c", node="", ready_s=None)]
    assert marks(waiting, 2, NOW) == []


def test_nothing_is_written_when_nobody_goes_or_everybody_does() -> None:
    assert marks([pod("a"), pod("b", node="n2")], 2, NOW) == []
    assert marks([pod("a"), pod("b", node="n2")], 0, NOW) == []


def test_the_costs_of_others_are_followed_and_kept() -> None:
    pods = [
        pod("a", ready_s=-900, deletion_cost=-5),
        pod("b", ready_s=-800),
        pod("c", node="n2", ready_s=-10, deletion_cost=50),
    ]
    assert marks(pods, 2, NOW) == []
    assert {m.pod.name for m in marks(pods, 1, NOW)} <= {"b"}
    assert after(pods, 1) == {"c"}


def test_a_mark_that_is_there_is_not_written_again_and_a_stale_one_goes() -> None:
    mark = {"deletion_cost": -1, "is_marked": True}
    pods = [pod("a", ready_s=-900), pod("b", ready_s=-800), pod("c", node="n2", **mark)]
    assert marks(pods, 2, NOW) == []
    grown = [*pods, pod("d", node="n3", ready_s=-1)]
    written = {m.pod.name: m.cost for m in marks(grown, 3, NOW)}
    assert written == {"c": None, "d": -1}
    assert [(m.pod.name, m.cost) for m in marks(pods, 3, NOW)] == [("c", None)]


fleets = st.lists(
    st.builds(
        lambda node, stage, ready, cost: (node, stage, ready, cost),
        st.sampled_from(["n1", "n2", "n3"]),
        st.sampled_from(["ready", "ready", "ready", "starting", "waiting"]),
        st.integers(-900, -1),
        st.sampled_from([None, None, None, -3, 4]),
    ),
    min_size=1,
    max_size=9,
)


def fleet(found: list[tuple[str, str, int, int | None]]) -> list[PodState]:
    return [
        pod(
            f"p{i}",
            node="" if stage == "waiting" else node,
            ready_s=ready if stage == "ready" else None,
            created_s=-1000 - i,
            deletion_cost=cost,
        )
        for i, (node, stage, ready, cost) in enumerate(found)
    ]


@given(fleets, st.integers(1, 9))
def test_what_is_left_has_never_served_shorter_than_what_went(
    found: list[tuple[str, str, int, int | None]], replicas: int
) -> None:
    pods = fleet([(node, stage, ready, None) for node, stage, ready, _ in found])
    if replicas >= len(pods):
        return
    left = after(pods, replicas)
    gone = [p for p in pods if p.name not in left]
    kept = [p for p in pods if p.name in left]

    def worth(p: PodState) -> tuple[int, float]:
        stage = 2 if p.ready_at else 1 if p.node else 0
        return stage, -(p.ready_at or p.created_at).timestamp()

    assert max(map(worth, gone)) <= min(map(worth, kept))


@given(fleets, st.integers(1, 9), st.lists(st.integers(0, 4), min_size=9, max_size=9))
def test_no_ready_pod_that_went_had_more_requests_than_one_that_is_left(
    found: list[tuple[str, str, int, int | None]], replicas: int, requests: list[int]
) -> None:
    pods = fleet([(node, stage, ready, None) for node, stage, ready, _ in found])
    if replicas >= len(pods):
        return
    in_flight = {p.name: float(n) for p, n in zip(pods, requests, strict=False)}
    left = after(pods, replicas, in_flight)
    ready = [p.name for p in pods if p.ready_at is not None]
    gone = [in_flight[name] for name in ready if name not in left]
    kept = [in_flight[name] for name in ready if name in left]
    assert not gone or not kept or max(gone) <= min(kept)


@given(fleets, st.integers(1, 9))
def test_costs_of_others_are_never_written(
    found: list[tuple[str, str, int, int | None]], replicas: int
) -> None:
    for mark in marks(fleet(found), replicas, NOW):
        assert mark.pod.deletion_cost is None or mark.pod.is_marked


def test_a_large_scale_in_marks_a_bounded_number() -> None:
    pods = [pod(f"p{i:03d}", node=f"n{i % 50}", ready_s=-i - 1) for i in range(200)]
    assert len(marks(pods, 20, NOW)) <= MAX_MARKS
