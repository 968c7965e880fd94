"""How a CapacityBuffer is read, and what its status says is wrong."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from services.operator.plan.buffers import BufferSize, buffer_name, buffer_of
from services.operator.plan.seen_buffers import to_seen
from tests.unit.operator.examples import NOW

PATIENCE_S = 600.0
SOON, LATER = NOW + timedelta(minutes=4, seconds=59), NOW + timedelta(minutes=5)
READY = {"type": "ReadyForProvisioning", "status": "True", "reason": "Resolved"}
PROVISIONED = {"type": "Provisioning", "status": "True", "reason": "FakePodsInjected"}
OWNER: dict[str, Any] = {"kind": "GPUBudget", "name": "h100", "uid": "u"}


def stamp(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def resource(changed_at: datetime = NOW, replicas: int = 3, **status: Any) -> dict[str, Any]:
    """A buffer that was made now, and changed at a time."""
    made = buffer_of("H100", BufferSize(replicas, 8, "t"), OWNER, changed_at)
    metadata = {**made["metadata"], "creationTimestamp": stamp(NOW)}
    return {**made, "metadata": metadata} | ({"status": status} if status else {})


def failed(reason: str, message: str = "", since: datetime = NOW) -> dict[str, Any]:
    return {
        "type": "Provisioning", "status": "False", "reason": reason, "message": message,
        "lastTransitionTime": stamp(since),
    }  # fmt: skip


def problem(found: dict[str, Any], now: datetime = SOON) -> tuple[str, str]:
    """Reason and words of what is wrong; empty: nothing is."""
    seen = to_seen(found).problem(now, PATIENCE_S)
    return ("", "") if seen is None else (seen.reason, seen.told)


def test_a_buffer_reads_back_as_it_was_made() -> None:
    seen = to_seen(resource(LATER))
    assert (seen.name, seen.gpu_type) == (buffer_name("H100"), "H100")
    assert (seen.replicas, seen.chunk_gpus, seen.template) == (3, 8, "t")
    assert (seen.created_at, seen.changed_at) == (NOW, LATER)
    assert (seen.conditions, seen.taken_up) == ({}, None)


@pytest.mark.parametrize("written", ["", "0", "many", "-8"])
def test_what_an_annotation_does_not_say_is_not_known(written: str) -> None:
    found = resource(LATER)
    names = ("scaling.harmony.dev/chunk-gpus", "scaling.harmony.dev/changed-at")
    found["metadata"]["annotations"] |= dict.fromkeys(names, written)
    seen = to_seen(found)
    assert (seen.chunk_gpus, seen.changed_at) == (None, NOW)


def test_one_that_nothing_looks_at_is_unread_after_five_minutes() -> None:
    assert problem(resource(), SOON) == ("", "")
    reason, told = problem(resource(), LATER)
    assert reason == "BufferUnread"
    assert f"no status since {stamp(NOW)}: nothing that adds nodes reads it" in told
    assert "feature gate CapacityBuffer" in told


def test_one_that_was_only_accepted_is_unread() -> None:
    """The Cluster Autoscaler with its controller of buffers, and without their pods."""
    found = resource(conditions=[READY])
    assert problem(found, SOON) == ("", "")
    reason, told = problem(found, LATER)
    assert reason == "BufferUnread"
    assert f"it was accepted, and since {stamp(NOW)}" in told
    assert "--capacity-buffer-pod-injection-enabled" in told
    assert problem(resource(conditions=[READY, PROVISIONED]), LATER) == ("", "")


def test_a_change_may_take_what_was_said_away_for_a_while() -> None:
    """As in older Cluster Autoscalers, where each of two parts writes its own condition alone."""
    found = resource(LATER, conditions=[READY])
    assert problem(found, LATER + timedelta(minutes=4)) == ("", "")
    assert problem(found, LATER + timedelta(minutes=5))[0] == "BufferUnread"
    assert problem(resource(LATER), LATER)[0] == "BufferUnread", "nobody ever said anything"


@pytest.mark.parametrize("kind", ["ReadyForProvisioning", "Provisioning"])
def test_a_refusal_is_told_with_its_reason(kind: str) -> None:
    said = {**failed("FailedToMakeFakePods", "no GPU"), "type": kind}
    assert problem(resource(conditions=[READY, said])) == (
        "BufferRefused",
        "FailedToMakeFakePods: no GPU",
    )


def test_the_cause_is_told_before_what_follows_from_it() -> None:
    missing = {**READY, "status": "False", "reason": "PodTemplateNotFound", "message": "t"}
    follows = failed("NotReadyForProvisioning", "Buffer is not ReadyForProvisioning")
    assert problem(resource(conditions=[missing, follows])) == (
        "BufferRefused",
        "PodTemplateNotFound: t",
    )


def test_a_look_before_the_template_was_found_is_no_problem_yet() -> None:
    follows = failed("NotReadyForProvisioning", "Buffer is not ReadyForProvisioning")
    for conditions in ([follows], [READY, follows]):
        found = resource(conditions=conditions)
        assert problem(found, NOW + timedelta(seconds=PATIENCE_S)) == ("", "")
        reason, told = problem(found, NOW + timedelta(seconds=PATIENCE_S + 1))
        assert (reason, "NotReadyForProvisioning" in told) == ("BufferUnfilled", True)


def test_nodes_that_are_on_their_way_are_no_problem_for_as_long_as_they_take() -> None:
    awaited = failed("RequiresNewCapacity", "3/3 virtual pods required new capacity, 2 failed")
    found = resource(conditions=[READY, awaited])
    late = NOW + timedelta(seconds=PATIENCE_S + 1)
    assert problem(found, NOW + timedelta(seconds=PATIENCE_S)) == ("", "")
    reason, told = problem(found, late)
    assert reason == "BufferUnfilled"
    assert "3/3 virtual pods required new capacity, 2 failed" in told
    assert "limits of the NodePools" in told
    assert problem(resource(SOON, conditions=[READY, awaited]), late) == ("", ""), "it was changed"


@pytest.mark.parametrize("reason", ["BufferEmpty", "BufferIsEmpty"])
def test_one_that_asks_for_nothing_is_empty_and_that_is_right(reason: str) -> None:
    conditions = [READY, failed(reason, "zero replicas")]
    long_after = NOW + timedelta(days=1)
    assert problem(resource(replicas=0, conditions=conditions), long_after) == ("", "")


def test_quotas_that_leave_room_for_fewer_are_named() -> None:
    told = "Buffer replicas limited from 3 to 1 due to quotas: gpus"
    limited = {"type": "LimitedByQuotas", "status": "True", "reason": "ResourceQuotasAllocated",
               "message": told}  # fmt: skip
    conditions = [READY, PROVISIONED, limited]
    found = resource()
    found["status"] = {"replicas": 1, "conditions": conditions}
    reason, words = problem(found)
    assert (reason, told in words, "raise that ResourceQuota" in words) == (
        "BufferLimited",
        True,
        True,
    )
    found["status"]["replicas"] = 3
    assert problem(found) == ("", ""), "as many as it asks for"
    found["status"] |= {"replicas": 1, "conditions": [READY, {**limited, "status": "False"}]}
    assert problem(found) == ("", "")


@pytest.mark.parametrize("taken_up", [1, 5])
def test_a_change_that_is_not_taken_up_is_told(taken_up: int) -> None:
    """What adds nodes was switched off: its conditions stay as they were."""
    found = resource(SOON)
    found["status"] = {"replicas": taken_up, "conditions": [READY, PROVISIONED]}
    assert problem(found, SOON + timedelta(minutes=4)) == ("", "")
    reason, told = problem(found, SOON + timedelta(minutes=5))
    assert reason == "BufferUnread"
    assert f"asks for 3 pods since {stamp(SOON)}, and what adds nodes still has {taken_up}" in told
