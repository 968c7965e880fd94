"""A pod that was killed at the end of its grace is told from every other end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.operator.cluster.kills import KilledPod, read_kill

TOLD = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


def stamp(after_s: float) -> str:
    return f"{TOLD + timedelta(seconds=after_s):%Y-%m-%dT%H:%M:%SZ}"


def ended(after_s: float, code: int = 137, reason: str = "Error") -> dict[str, Any]:
    state = {"exitCode": code, "reason": reason, "finishedAt": stamp(after_s)}
    return {"name": "server", "state": {"terminated": state}}


def pod(*containers: dict[str, Any], grace_s: int = 30, left_s: int | None = None) -> Any:
    left_s = grace_s if left_s is None else left_s
    return {
        "metadata": {
            "uid": "u",
            "namespace": "serving",
            "name": "llama-x",
            "deletionTimestamp": stamp(left_s),
            "deletionGracePeriodSeconds": left_s,
        },
        "spec": {"terminationGracePeriodSeconds": grace_s},
        "status": {"phase": "Failed", "containerStatuses": list(containers)},
    }


def test_one_that_runs_until_its_grace_ends_was_killed() -> None:
    found = read_kill(pod(ended(30.0), ended(2.0, code=0, reason="Completed")))
    killed_at = TOLD + timedelta(seconds=30)
    assert found == KilledPod("u", "serving", "llama-x", TOLD, killed_at, 30.0)


def test_the_last_deletion_which_leaves_no_grace_tells_the_same() -> None:
    """The kubelet deletes for good when all containers have ended."""
    assert read_kill(pod(ended(31.0), grace_s=30, left_s=0)) == KilledPod(
        "u", "serving", "llama-x", TOLD, TOLD + timedelta(seconds=31), 30.0
    )
    newer = pod(ended(31.0), grace_s=30, left_s=0)
    newer["metadata"]["deletionTimestamp"] = stamp(32)
    assert read_kill(newer) is None, "there it is the time of that deletion; the state before tells"
    shortened = read_kill(pod(ended(5.0), grace_s=600, left_s=5))
    assert shortened is not None
    assert shortened.grace_s == 5.0, "a deletion may have a shorter grace than the pod"


@pytest.mark.parametrize(
    "container",
    [
        ended(12.0),
        ended(30.0, code=0, reason="Completed"),
        ended(30.0, code=143),
        ended(30.0, reason="OOMKilled"),
        ended(30.0, reason="ContainerStatusUnknown"),
        {"name": "server", "state": {"running": {"startedAt": stamp(-600)}}},
        {"name": "server", "state": {"terminated": {"exitCode": 137, "reason": "Error"}}},
        {"name": "server"},
    ],
)
def test_other_ends_are_not_kills(container: dict[str, Any]) -> None:
    assert read_kill(pod(container)) is None


def test_a_pod_that_nobody_deleted_was_not_killed_for_its_grace() -> None:
    alive = pod(ended(30.0))
    del alive["metadata"]["deletionTimestamp"]
    assert read_kill(alive) is None
    assert read_kill({"metadata": {"resourceVersion": "7"}}) is None


@pytest.mark.parametrize("grace_s", [10**14, 2**63 - 1])
def test_a_grace_that_ends_in_no_year_that_can_be_told_has_not_ended(grace_s: int) -> None:
    """Whoever may delete a pod may give it any grace: its copy must be kept all the same."""
    found = pod(ended(30.0))
    found["spec"]["terminationGracePeriodSeconds"] = grace_s
    found["metadata"]["deletionGracePeriodSeconds"] = 0
    assert read_kill(found) is None
    found["metadata"]["deletionGracePeriodSeconds"] = grace_s
    assert read_kill(found) is None
    found["metadata"]["deletionTimestamp"] = "3170979-01-05T12:00:00Z"
    assert read_kill(found) is None
