"""Columns of `kubectl get`, kind by kind."""

from __future__ import annotations

from typing import Any

import pytest

from services.lab.cluster.storage.resources import BUILT_IN, Obj, ResourceType
from services.lab.cluster.wire.columns import built_in, has_name_first

KINDS: dict[str, ResourceType] = {rtype.kind: rtype for rtype in BUILT_IN}


def cells(kind: str, **parts: Any) -> dict[str, Any]:
    """The cells of an object that has these parts."""
    meta: Obj = {"name": "x", "creationTimestamp": "t"} | parts.pop("metadata", {})
    obj = {"metadata": meta, **parts}
    return {column.name: column.read(obj) for column in built_in(KINDS[kind])}


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ({}, "Unknown"),
        ({"phase": "Running"}, "Running"),
        ({"phase": "Failed", "reason": "Evicted"}, "Evicted"),
        (
            {
                "phase": "Running",
                "containerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}],
            },
            "CrashLoopBackOff",
        ),
    ],
)
def test_status_of_a_pod(status: Obj, shown: str) -> None:
    assert cells("Pod", status=status)["Status"] == shown
    going = {"deletionTimestamp": "t"}
    assert cells("Pod", status=status, metadata=going)["Status"] == "Terminating"


def test_containers_of_a_pod_are_counted() -> None:
    statuses = [{"ready": True, "restartCount": 2}, {"ready": False, "restartCount": 1}]
    found = cells(
        "Pod",
        spec={"containers": [{}, {}], "nodeName": "n"},
        status={"containerStatuses": statuses},
    )
    assert (found["Ready"], found["Restarts"], found["Node"]) == ("1/2", "3", "n")
    assert (found["IP"], found["Age"]) == ("<none>", "t")


def test_counts_and_containers_of_a_deployment() -> None:
    containers = [{"name": "a", "image": "i"}, {"name": "b"}]
    spec = {
        "replicas": 4,
        "selector": {"matchLabels": {"b": "2", "a": "1"}},
        "template": {"spec": {"containers": containers}},
    }
    found = cells("Deployment", spec=spec, status={"readyReplicas": 3, "updatedReplicas": 2})
    assert (found["Ready"], found["Up-to-date"], found["Available"]) == ("3/4", 2, 0)
    assert (found["Containers"], found["Images"]) == ("a,b", "i,")
    assert found["Selector"] == "a=1,b=2"
    assert cells("Deployment")["Ready"] == "0/1"


@pytest.mark.parametrize(
    ("conditions", "spec", "shown"),
    [
        ([{"type": "Ready", "status": "True"}], {}, "Ready"),
        ([{"type": "Ready", "status": "False"}], {}, "NotReady"),
        ([], {}, "Unknown"),
        (
            [{"type": "Ready", "status": "True"}],
            {"unschedulable": True},
            "Ready,SchedulingDisabled",
        ),
    ],
)
def test_status_of_a_node(conditions: list[Obj], spec: Obj, shown: str) -> None:
    found = cells("Node", spec=spec, status={"conditions": conditions})
    assert (found["Status"], found["Version"]) == (shown, "<unknown>")


def test_targets_of_an_hpa() -> None:
    metrics = [
        {
            "type": "Resource",
            "resource": {"name": "cpu", "target": {"averageUtilization": 60}},
        },
        {"type": "External", "external": {"target": {"averageValue": "5"}}},
        {"type": "External", "external": {"target": {"value": "9"}}},
    ]
    reference = {"kind": "Deployment", "name": "d"}
    found = cells(
        "HorizontalPodAutoscaler",
        spec={"scaleTargetRef": reference, "metrics": metrics, "maxReplicas": 7},
    )
    assert found["Reference"] == "Deployment/d"
    assert found["Targets"] == "cpu: <unknown>/60%, <unknown>/5 (avg), <unknown>/9"
    assert (found["MinPods"], found["MaxPods"]) == ("<unset>", 7)
    assert cells("HorizontalPodAutoscaler")["Targets"] == "<none>"


def test_requests_and_limits_of_a_quota_are_apart() -> None:
    hard = {"requests.nvidia.com/gpu": "8", "limits.cpu": "4", "pods": "9"}
    found = cells("ResourceQuota", status={"hard": hard, "used": {"pods": "3"}})
    assert found["Request"] == "pods: 3/9, requests.nvidia.com/gpu: 0/8"
    assert found["Limit"] == "limits.cpu: 0/4"


def test_events_show_what_they_are_about_and_when_they_were_last_seen() -> None:
    about = {"kind": "Pod", "name": "p"}
    found = cells(
        "Event",
        involvedObject=about,
        lastTimestamp="late",
        message=" text ",
        source={"component": "scheduler"},
    )
    assert (found["Object"], found["Last Seen"], found["Message"]) == ("pod/p", "late", "text")
    assert (found["Source"], found["Count"]) == ("scheduler", 1)
    assert cells("Event", eventTime="e")["Last Seen"] == "e"
    assert cells("Event", series={"lastObservedTime": "s"}, eventTime="e")["Last Seen"] == "s"
    assert not has_name_first(KINDS["Event"])
    assert has_name_first(KINDS["Pod"])


def test_a_kind_without_columns_of_its_own_shows_its_age() -> None:
    assert list(cells("Service")) == ["Age"]
    assert cells("ConfigMap", data={"a": "1", "b": "2"})["Data"] == "2"
    assert cells("PodDisruptionBudget", spec={"minAvailable": 2})["Max Unavailable"] == "N/A"
