"""Pods by what they are: ready, starting, waiting, or gone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from services.operator.cluster.gangs import to_gangs
from services.operator.cluster.ownership import (
    Links,
    OwnedPod,
    Owner,
    PodIndex,
    controller_of,
    index,
)
from services.operator.cluster.pods import (
    COST_ANNOTATION,
    SIZE_ANNOTATION,
    PodState,
    count_replicas,
    is_living,
    to_pod,
)
from tests.unit.operator.examples import NOW


def stamp(seconds: float) -> str:
    return (NOW + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def pod(name: str, **given: Any) -> dict[str, Any]:
    """A pod of the ReplicaSet rs1, bound and ready unless told otherwise."""
    owner = {"kind": "ReplicaSet", "uid": given.get("owner", "rs1"), "controller": True}
    metadata: dict[str, Any] = {
        "name": name,
        "uid": name,
        "creationTimestamp": stamp(given.get("created_s", -100)),
        "ownerReferences": [owner],
    }
    if given.get("is_leaving"):
        metadata["deletionTimestamp"] = stamp(0)
    ready_s = given.get("ready_s", -50)
    ready = {"type": "Ready", "status": "True" if ready_s is not None else "False"}
    if ready_s is not None:
        ready["lastTransitionTime"] = stamp(ready_s)
    limits = {"nvidia.com/gpu": str(given.get("gpus", 2))}
    conditions = [ready]
    if "initialized_s" in given:
        ready["lastTransitionTime"] = stamp(given["turned_s"])
        at = stamp(given["initialized_s"])
        conditions += [{"type": "Initialized", "status": "True", "lastTransitionTime": at}]
    return {
        "metadata": metadata,
        "spec": {
            "nodeName": given.get("node", "n1"),
            "containers": [{"resources": {"limits": limits}}, {"name": "sidecar"}],
        },
        "status": {"phase": given.get("phase", "Running"), "conditions": conditions},
    }


OWNERS = Links(
    {rs: Owner("Deployment", d) for rs, d in (("rs1", "d1"), ("rs2", "d1"), ("rs9", "d9"))}
)


def indexed(resources: list[dict[str, Any]], links: Links = OWNERS) -> PodIndex:
    return index([OwnedPod(to_pod(r), controller_of(r)) for r in resources if is_living(r)], links)


def states(resources: list[dict[str, Any]]) -> list[PodState]:
    return [to_pod(r) for r in resources if is_living(r)]


def test_counts_by_owner_through_both_replica_sets_of_a_rollout() -> None:
    resources = [
        pod("a"),
        pod("b", owner="rs2", ready_s=None),
        pod("c", owner="rs2", ready_s=None, node=""),
        pod("d", owner="rs9"),
        pod("e", is_leaving=True),
        pod("f", phase="Failed"),
    ]
    mine = indexed(resources).owned_by("d1")
    replicas = count_replicas(mine, NOW)
    assert (replicas.ready, replicas.starting, replicas.pending) == (1, 1, 1)
    assert replicas.start_ages_s == (100.0, 100.0)


def test_a_pod_that_is_ready_no_more_starts_anew_from_when_it_ceased() -> None:
    """Its node writes that it is not ready as it initializes, and again when it ceases to be."""
    long_ago = {"created_s": -9000, "initialized_s": -8990, "ready_s": None}
    lost, new, with_init = states(
        [
            pod("lost", turned_s=-20, **long_ago),
            pod("new", turned_s=-8990, **long_ago),
            pod("init", turned_s=-8999, **long_ago),
        ]
    )
    assert lost.lost_at == NOW - timedelta(seconds=20)
    assert new.lost_at is None
    assert with_init.lost_at is None
    assert count_replicas([lost], NOW).start_ages_s == (20.0,)
    assert count_replicas([new], NOW).start_ages_s == (9000.0,)
    serves = pod("serves", created_s=-9000, initialized_s=-8990, turned_s=-50)
    assert states([serves])[0].lost_at is None
    assert states([pod("untold", ready_s=None)])[0].lost_at is None


def test_ages_are_starting_first_each_oldest_first() -> None:
    resources = [
        pod("a", ready_s=None, created_s=-10),
        pod("b", ready_s=None, created_s=-30),
        pod("c", ready_s=None, created_s=-90, node=""),
        pod("d", ready_s=None, created_s=-20, node=""),
    ]
    replicas = count_replicas(states(resources), NOW)
    assert replicas.start_ages_s == (30.0, 10.0, 90.0, 20.0)


def test_what_happened_after_now_has_not_happened_yet() -> None:
    later = [pod("a", ready_s=40), pod("b", created_s=30, ready_s=None), pod("c", ready_s=3)]
    replicas = count_replicas(states(later), NOW)
    assert (replicas.ready, replicas.starting, replicas.pending) == (1, 1, 0)


def test_a_node_whose_clock_is_ahead_has_ready_pods_all_the_same() -> None:
    """And of an operator whose clock is behind nothing starts unseen."""
    later = [pod("a", ready_s=400), pod("b", created_s=300, ready_s=None), pod("c", ready_s=3)]
    replicas = count_replicas(states(later), NOW, is_live=True)
    assert (replicas.ready, replicas.starting, replicas.pending) == (2, 1, 0)
    assert replicas.start_ages_s == (0.0,)


@pytest.mark.parametrize("text", ["", "many", "--5", "5-", "²", "1.5", " 2", "9" * 5000])
def test_an_annotation_that_is_no_number_is_none(text: str) -> None:
    """Whoever may write to a pod writes its annotations: one that is odd harms nobody."""
    odd = pod("a")
    odd["metadata"]["annotations"] = {SIZE_ANNOTATION: text, COST_ANNOTATION: text}
    found = to_pod(odd)
    assert (found.gang_size, found.deletion_cost) == (0, None)


def test_a_group_has_no_negative_size() -> None:
    odd = pod("a", ready_s=None)
    odd["metadata"]["annotations"] = {SIZE_ANNOTATION: "-5", COST_ANNOTATION: "-5"}
    found = to_pod(odd)
    assert (found.gang_size, found.deletion_cost) == (0, -5)
    (gang,) = to_gangs([found], 2)
    assert gang.ready_at is None


def test_a_pod_that_a_gate_holds_waits_without_growing_older() -> None:
    held = pod("a", ready_s=None, created_s=-900, node="")
    held["spec"]["schedulingGates"] = [{"name": "kueue.x-k8s.io/admission"}]
    replicas = count_replicas(states([held, pod("b", ready_s=None, created_s=-20)]), NOW)
    assert (replicas.starting, replicas.pending, replicas.gated) == (1, 1, 1)
    assert replicas.start_ages_s == (20.0, 0.0)
