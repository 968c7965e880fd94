"""Statuses of workloads: counts, conditions, and the time that a roll-out has."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, strategies as st

from services.lab.cluster.controllers.groups import Group
from services.lab.cluster.controllers.statuses import (
    deployment_status,
    is_moving,
    refusal_of,
    revisions_of,
    set_status,
    with_failure,
)
from services.lab.cluster.storage.resources import REPLICA_SETS, STATEFUL_SETS, Obj, ResourceType
from services.simulator.engine.specs import ReplicaCounts
from tests.unit.lab.cluster.running_cluster import condition

SIZES = st.integers(0, 5)
COUNTS = st.builds(lambda *n: counts(*n), SIZES, SIZES, SIZES)


def counts(ready: int = 0, starting: int = 0, pending: int = 0) -> ReplicaCounts:
    return ReplicaCounts(ready + starting + pending, ready, starting, pending, (), ())


def group(rtype: ResourceType = REPLICA_SETS, **more: Any) -> Group:
    return Group("default/x", rtype, "x", "new", {}, 1, **more)


def at(seconds: float = 0.0) -> str:
    moment = datetime(2026, 1, 5, tzinfo=UTC) + timedelta(seconds=seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def deployment(replicas: int = 4, status: Obj | None = None, **spec: Any) -> Obj:
    found: Obj = {"metadata": {"name": "x", "generation": 3}, "spec": {"replicas": replicas}}
    found["spec"] |= spec
    return found if status is None else {**found, "status": status}


def conditions(status: Obj) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c["reason"]) for c in status["conditions"]}


def test_a_set_counts_bound_and_waiting_pods_and_leaves_zeros_out_but_its_size() -> None:
    owner: Obj = {"kind": "ReplicaSet", "metadata": {"generation": 7}}
    assert set_status(owner, counts(2, 1, 3)) == {
        "replicas": 6,
        "fullyLabeledReplicas": 6,
        "readyReplicas": 2,
        "availableReplicas": 2,
        "observedGeneration": 7,
    }
    assert set_status(owner, counts()) == {"replicas": 0, "observedGeneration": 7}
    stateful: Obj = {"kind": "StatefulSet", "metadata": {}}
    assert set_status(stateful, counts(1)) == {
        "replicas": 1,
        "readyReplicas": 1,
        "availableReplicas": 1,
        "observedGeneration": 1,
    }


def test_revisions_of_a_stateful_set_tell_old_pods_from_new_ones() -> None:
    moving = group(STATEFUL_SETS, revisions={0: "old"})
    assert revisions_of(moving, counts(2, 0, 1)) == {
        "currentReplicas": 1,
        "updatedReplicas": 2,
        "currentRevision": "x-old",
        "updateRevision": "x-new",
    }
    assert revisions_of(group(STATEFUL_SETS), counts(2, 0, 1)) == {
        "currentReplicas": 3,
        "updatedReplicas": 3,
        "currentRevision": "x-new",
        "updateRevision": "x-new",
    }


def test_pods_that_a_quota_refuses_are_a_condition_that_keeps_its_time() -> None:
    refused = group(refusal="exceeded quota: gpus")
    assert refusal_of(refused) == 'pods "x-" is forbidden: exceeded quota: gpus'
    first = with_failure({"replicas": 1}, refused, deployment(), at())
    found = condition({"status": first}, "ReplicaFailure")
    assert (found["status"], found["reason"]) == ("True", "FailedCreate")
    assert found["message"] == refusal_of(refused)
    assert found["lastUpdateTime"] == at()
    assert first["replicas"] == 1

    again = with_failure({"replicas": 1}, refused, deployment(status=first), at(60))
    assert again == first
    other = with_failure({}, group(refusal="another"), deployment(status=first), at(60))
    assert condition({"status": other}, "ReplicaFailure")["lastUpdateTime"] == at(60)


def test_a_refusal_adds_to_conditions_and_none_leaves_the_status_alone() -> None:
    status = deployment_status(deployment(), [counts(4)], at())
    assert with_failure(status, group(), deployment(status=status), at()) == status
    found = with_failure(status, group(refusal="no"), deployment(status=status), at())
    assert [*conditions(found)] == ["Available", "Progressing", "ReplicaFailure"]


@given(st.lists(COUNTS, min_size=1, max_size=3), st.integers(0, 12))
def test_counts_of_a_deployment_add_up(revisions: list[ReplicaCounts], wanted: int) -> None:
    status = deployment_status(deployment(wanted), revisions, at())
    n_ready = sum(count.ready for count in revisions)
    n_total = sum(count.ready + count.starting + count.pending for count in revisions)
    assert status.get("replicas", 0) == n_total
    assert status.get("readyReplicas", 0) == status.get("availableReplicas", 0) == n_ready
    newest = revisions[-1]
    n_newest = newest.ready + newest.starting + newest.pending
    assert status.get("updatedReplicas", 0) == n_newest
    assert status.get("unavailableReplicas", 0) == max(wanted, n_total) - n_ready
    assert status["observedGeneration"] == 3
    assert 0 not in [value for value in status.values() if isinstance(value, int)]


@pytest.mark.parametrize(("n_ready", "is_available"), [(2, False), (3, True), (4, True)])
def test_a_deployment_is_available_while_no_more_pods_lack_than_may(
    n_ready: int, is_available: bool
) -> None:
    status = deployment_status(deployment(4), [counts(n_ready, 4 - n_ready)], at())
    found = condition({"status": status}, "Available")
    expected = (
        ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
        if is_available
        else (
            "False",
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
        )
    )
    assert (found["status"], found["reason"], found["message"]) == expected


def test_a_condition_keeps_its_time_until_it_turns() -> None:
    first = deployment_status(deployment(4), [counts(0, 4)], at())
    again = deployment_status(deployment(4, first), [counts(1, 3)], at(10))
    kept = condition({"status": again}, "Available")
    assert kept == condition({"status": first}, "Available")
    turned = deployment_status(deployment(4, again), [counts(4)], at(20))
    assert condition({"status": turned}, "Available")["lastTransitionTime"] == at(20)


def test_a_roll_out_ends_once_and_scaling_does_not_start_it_again() -> None:
    moving = deployment_status(deployment(4), [counts(3, 1)], at())
    assert is_moving(moving)
    assert conditions(moving)["Progressing"] == ("True", "ReplicaSetUpdated")
    done = deployment_status(deployment(4, moving), [counts(4)], at(10))
    assert not is_moving(done)
    assert conditions(done)["Progressing"] == ("True", "NewReplicaSetAvailable")
    scaled = deployment_status(deployment(6, done), [counts(4, 2)], at(20))
    assert not is_moving(scaled)
    assert is_moving(deployment_status(deployment(4, done), [counts(4), counts(0, 1)], at(20)))


def test_a_roll_out_with_pods_of_an_earlier_revision_is_not_over() -> None:
    assert is_moving(deployment_status(deployment(4), [counts(1), counts(3)], at()))


@pytest.mark.parametrize(
    "later",
    [[counts(1), counts(1, 2)], [counts(2), counts(0, 3)], [counts(1), counts(0, 2)]],
    ids=["more ready", "more updated", "fewer old"],
)
def test_each_kind_of_progress_gives_a_roll_out_its_time_anew(later: list[ReplicaCounts]) -> None:
    wanted = deployment(4, progressDeadlineSeconds=30)
    first = deployment_status(wanted, [counts(2), counts(0, 2)], at())
    moved = deployment_status({**wanted, "status": first}, later, at(20))
    assert condition({"status": moved}, "Progressing")["lastUpdateTime"] == at(20)
    assert is_moving(deployment_status({**wanted, "status": moved}, later, at(45)))


def test_a_roll_out_that_stands_still_runs_out_of_its_time() -> None:
    wanted = deployment(4, progressDeadlineSeconds=30)
    status = deployment_status(wanted, [counts(0, 4)], at())
    in_time = deployment_status({**wanted, "status": status}, [counts(0, 4)], at(30))
    assert in_time == status
    late = deployment_status({**wanted, "status": in_time}, [counts(0, 4)], at(31))
    assert conditions(late)["Progressing"] == ("False", "ProgressDeadlineExceeded")
    found = condition({"status": late}, "Progressing")
    assert found["message"] == 'ReplicaSet of Deployment "x" has timed out progressing.'
    assert not is_moving(late)
    later = deployment_status({**wanted, "status": late}, [counts(0, 4)], at(300))
    assert condition({"status": later}, "Progressing") == found
    awake = deployment_status({**wanted, "status": later}, [counts(1, 3)], at(310))
    assert is_moving(awake)


def test_without_a_limit_of_its_own_a_roll_out_has_ten_minutes() -> None:
    status = deployment_status(deployment(4), [counts(0, 4)], at())
    assert is_moving(deployment_status(deployment(4, status), [counts(0, 4)], at(600)))
    assert not is_moving(deployment_status(deployment(4, status), [counts(0, 4)], at(601)))
