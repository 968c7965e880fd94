"""What the status of a CapacityBuffer says is wrong is told in the GPUBudget's condition."""

from __future__ import annotations

from typing import Any

import pytest

from services.lab.cluster.nodes.definitions import BUFFER_GROUP, BUFFERS
from tests.integration.operator.conftest import Bench
from tests.integration.operator.headroom.test_buffers import (
    MERGE,
    POOLS,
    add_pool,
    advise,
    ask,
    buffers,
    held,
    ready,
    serve,
)

__all__ = ["held"]
pytestmark = pytest.mark.integration


def say(bench: Bench, replicas: int, *conditions: dict[str, str]) -> None:
    """What adds nodes says of the only buffer; without a pool nothing else says anything."""
    (buffer,) = buffers(bench)
    at = buffer["metadata"]["creationTimestamp"]
    written = [{"message": "", "lastTransitionTime": at, **each} for each in conditions]
    root = f"/apis/{BUFFER_GROUP}/v1beta1/namespaces/{bench.lab.namespace}/{BUFFERS}"
    where = f"{root}/{buffer['metadata']['name']}/status"
    body = {"status": {"replicas": replicas, "conditions": written}}
    answer = bench.lab.http.patch(where, json=body, headers=MERGE)
    assert answer.status_code == 200, answer.text


READY = {"type": "ReadyForProvisioning", "status": "True", "reason": "AttributesSetSuccessfully"}
PROVISIONED = {"type": "Provisioning", "status": "True", "reason": "FakePodsInjected"}


def hold(bench: Bench, gpus: int = 16) -> None:
    serve(bench)
    ask(bench)
    advise(bench, gpus)
    bench.step()


def test_one_that_is_accepted_and_not_provisioned_for_is_told(held: Bench) -> None:
    """The Cluster Autoscaler runs its controller of buffers, and counts no pods of them."""
    hold(held)
    say(held, 2, READY)
    reasons = []
    for _ in range(6):
        advise(held, 16, free=16)
        held.step()
        reasons.append(ready(held)["reason"])
    assert reasons[0] == "Free"
    assert reasons[-1] == "BufferUnread"
    assert "it was accepted, and since" in ready(held)["message"]
    say(held, 2, READY, PROVISIONED)
    held.step()
    assert ready(held)["reason"] == "Free"


def test_a_failure_to_provision_is_told_with_its_reason(held: Bench) -> None:
    hold(held)
    failed = {**PROVISIONED, "status": "False", "reason": "FailedToMakeFakePods"}
    say(held, 2, READY, {**failed, "message": "no such field"})
    held.step()
    assert (ready(held)["status"], ready(held)["reason"]) == ("False", "BufferRefused")
    assert ready(held)["message"].endswith("FailedToMakeFakePods: no such field")


def test_a_quota_that_leaves_room_for_fewer_is_told(held: Bench) -> None:
    hold(held)
    why = "Buffer replicas limited from 2 to 1 due to quotas: gpus"
    limited = {"type": "LimitedByQuotas", "status": "True", "reason": "ResourceQuotasAllocated"}
    say(held, 1, READY, PROVISIONED, {**limited, "message": why})
    held.step()
    assert ready(held)["reason"] == "BufferLimited"
    assert why in ready(held)["message"]
    assert "raise that ResourceQuota" in ready(held)["message"]


def test_what_stopped_reading_it_is_told_after_a_change(held: Bench) -> None:
    hold(held)
    say(held, 2, READY, PROVISIONED)
    held.step()
    assert ready(held)["reason"] == "Provisioning"
    reasons = []
    for _ in range(7):
        advise(held, 32)
        held.step()
        reasons.append(ready(held)["reason"])
    assert reasons[0] == "Provisioning"
    assert reasons[-1] == "BufferUnread"
    assert "asks for 4 pods since" in ready(held)["message"]


def test_nodes_that_do_not_come_are_told_once_they_should_have(held: Bench) -> None:
    """The pool's provider has one machine."""
    serve(held)
    add_pool(held)
    given: dict[str, Any] = {"metadata": {"annotations": {"lab.harmony.dev/node-capacity": "1"}}}
    answer = held.lab.http.patch(f"{POOLS}/hopper", json=given, headers=MERGE)
    assert answer.status_code == 200, answer.text
    ask(held)
    reasons = []
    for _ in range(25):
        advise(held, 24)
        held.step()
        reasons.append(ready(held)["reason"])
    assert reasons[:2] == ["Provisioning"] * 2
    assert reasons[-1] == "BufferUnfilled"
    assert "0/3 virtual pods required new capacity, 2 failed" in ready(held)["message"]
