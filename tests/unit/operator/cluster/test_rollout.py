"""What says that a target is being rolled out, and what does not."""

from __future__ import annotations

from typing import Any

import pytest

from services.operator.cluster.rollout import failure_of, overdue_of, rollout_of


def resource(kind: str, status: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"generation": 3}, "spec": spec, "status": status}


def progressing(reason: str, status: str = "True") -> list[dict[str, str]]:
    return [{"type": "Progressing", "status": status, "reason": reason}]


@pytest.mark.parametrize(
    ("kind", "status", "words"),
    [
        ("Deployment", {}, ""),
        ("Deployment", {"observedGeneration": 2, "replicas": 4, "updatedReplicas": 4}, "2 of 3"),
        ("Deployment", {"observedGeneration": 3, "replicas": 4, "updatedReplicas": 4}, ""),
        ("Deployment", {"observedGeneration": 3, "replicas": 5, "updatedReplicas": 2}, "2 of 5"),
        ("Deployment", {"observedGeneration": 3, "replicas": 5}, "0 of 5"),
        (
            "Deployment",
            {"replicas": 4, "updatedReplicas": 4, "conditions": progressing("ReplicaSetUpdated")},
            "0 of 4 replicas of the new revision are available",
        ),
        (
            "Deployment",
            {
                "replicas": 4,
                "updatedReplicas": 4,
                "conditions": progressing("NewReplicaSetAvailable"),
            },
            "",
        ),
        (
            "Deployment",
            {
                "replicas": 4,
                "updatedReplicas": 4,
                "conditions": progressing("ProgressDeadlineExceeded", "False"),
            },
            "",
        ),
        ("ReplicaSet", {"observedGeneration": 3, "replicas": 4}, ""),
        ("Pool", {"replicas": 4, "updatedReplicas": 1}, "1 of 4"),
        ("Pool", {"replicas": 4}, ""),
        ("Rollout", {"observedGeneration": "2", "replicas": 4}, ""),
        (
            "LeaderWorkerSet",
            {"replicas": 4, "conditions": [{"type": "UpdateInProgress", "status": "True"}]},
            "UpdateInProgress",
        ),
    ],
)
def test_roll_outs(kind: str, status: dict[str, Any], words: str) -> None:
    found = rollout_of(resource(kind, status))
    assert words in found
    assert bool(found) is bool(words)


def test_a_roll_out_that_ran_out_of_time_is_told_apart() -> None:
    conditions = progressing("ProgressDeadlineExceeded", "False")
    status = {"replicas": 5, "updatedReplicas": 2, "availableReplicas": 3}
    moving = resource("Deployment", status)
    hung = resource("Deployment", status | {"conditions": conditions})
    assert (rollout_of(moving), overdue_of(moving)) == (
        "2 of 5 replicas are of the new revision",
        "",
    )
    assert rollout_of(hung) == ""
    assert "3 of 5 replicas are available" in overdue_of(hung)
    failed = [{"type": "Progressing", "status": "False", "reason": "ReplicaSetCreateError"}]
    assert overdue_of(resource("Deployment", status | {"conditions": failed})) == ""


@pytest.mark.parametrize(
    ("strategy", "updated", "words"),
    [
        ({}, 1, "1 of 4"),
        ({}, 4, ""),
        ({"type": "OnDelete"}, 1, ""),
        ({"rollingUpdate": {"partition": 3}}, 1, ""),
        ({"rollingUpdate": {"partition": 2}}, 1, "1 of 2"),
    ],
)
def test_stateful_sets(strategy: dict[str, Any], updated: int, words: str) -> None:
    revisions = {"currentRevision": "a", "updateRevision": "b"}
    status = {"replicas": 4, "updatedReplicas": updated, **revisions}
    found = rollout_of(resource("StatefulSet", status, updateStrategy=strategy))
    assert words in found
    assert bool(found) is bool(words)
    same = status | {"updateRevision": "a"}
    assert rollout_of(resource("StatefulSet", same, updateStrategy=strategy)) == ""


def test_failures_are_told_in_the_controllers_words() -> None:
    failing = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: gpus"}
    assert failure_of(resource("Deployment", {"conditions": [failing]})) == "exceeded quota: gpus"
    over = {**failing, "status": "False"}
    assert failure_of(resource("Deployment", {"conditions": [over]})) == ""
