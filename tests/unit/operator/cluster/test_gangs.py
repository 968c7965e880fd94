"""A group of pods is one replica: ready when all of it is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from services.operator.cluster.gangs import GROUP_LABEL, WORKER_LABEL, to_gangs
from services.operator.cluster.pods import PodState, count_replicas
from tests.unit.operator.examples import NOW
from tests.unit.operator.pods import gpus, pod


def member(group: int, worker: int, **given: Any) -> PodState:
    labels = {GROUP_LABEL: str(group), WORKER_LABEL: str(worker)}
    return pod(f"x-{group}-{worker}", labels=labels, **given)


def counts(pods: list[PodState], size: int = 2) -> tuple[int, int, int]:
    found = count_replicas(to_gangs(pods, size), NOW)
    return found.ready, found.starting, found.pending


def test_a_whole_group_is_one_replica_as_old_as_its_leader() -> None:
    worker = member(0, 1, created_s=-90, ready_s=-20)
    (gang,) = to_gangs([worker, member(0, 0, ready_s=-60)], 2)
    assert (gang.name, gang.gpus) == ("x-0-0", 2)
    assert gang.asked == gpus(2)
    assert gang.created_at == member(0, 0).created_at
    assert gang.ready_at == worker.ready_at


def test_a_group_that_lacks_a_pod_is_not_ready() -> None:
    assert counts([member(0, 0)]) == (0, 1, 0)
    assert counts([member(0, 0), member(0, 1)]) == (1, 0, 0)
    assert counts([member(0, 0), member(0, 1, ready_s=None)]) == (0, 1, 0)


def test_a_group_waits_while_one_of_its_pods_does() -> None:
    waiting = member(0, 1, ready_s=None, node="")
    assert counts([member(0, 0), waiting]) == (0, 0, 1)


def test_a_group_of_which_a_pod_leaves_serves_no_more() -> None:
    assert counts([member(0, 0), member(0, 1, is_leaving=True)]) == (0, 0, 0)


def test_the_pods_know_their_size_better_than_the_target() -> None:
    """While the size of the groups is changed, groups of both sizes are there."""
    pods = [member(0, 0, gang_size=1), member(1, 0, gang_size=2)]
    assert counts(pods, size=2) == (1, 1, 0)


def test_a_group_is_held_while_one_of_its_pods_is_and_begins_with_the_last() -> None:
    held = member(0, 1, ready_s=None, node="", is_gated=True)
    (gang,) = to_gangs([member(0, 0, released_at=NOW), held], 2)
    assert gang.is_gated
    later = NOW + timedelta(seconds=5)
    (gang,) = to_gangs([member(0, 0, released_at=NOW), member(0, 1, released_at=later)], 2)
    assert (gang.is_gated, gang.requested_at) == (False, later)


def test_a_group_of_which_a_pod_is_ready_no_more_starts_anew_when_all_others_were_ready() -> None:
    lost_at = NOW - timedelta(seconds=20)
    lost = member(0, 1, ready_s=None, lost_at=lost_at)
    assert to_gangs([member(0, 0), lost], 2)[0].lost_at == lost_at
    assert to_gangs([member(0, 0), member(0, 1)], 2)[0].lost_at is None
    starting = member(0, 0, ready_s=None)
    assert to_gangs([starting, lost], 2)[0].lost_at is None
    assert to_gangs([member(0, 0, is_leaving=True), lost], 2)[0].lost_at is None
