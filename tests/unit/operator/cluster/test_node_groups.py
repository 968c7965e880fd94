"""The Cluster Autoscaler's status in both of its forms."""

from __future__ import annotations

from typing import Any

import pytest

from services.operator.cluster.node_groups import (
    GroupOfType,
    UnreadableStatus,
    to_groups_of_type,
    to_node_groups,
)

YAML = """\
time: 2026-01-05 00:10:00.5 +0000 UTC
autoscalerStatus: Running
clusterWide:
  health: {status: Healthy, nodeCounts: {registered: {total: 5, ready: 5, notStarted: 0}}}
nodeGroups:
- name: gpu-a
  health:
    status: Healthy
    nodeCounts: {registered: {total: 2, ready: 2, notStarted: 0}}
    cloudProviderTarget: 3
    minSize: 1
    maxSize: 6
    lastTransitionTime: "2026-01-05T00:00:00Z"
  scaleUp: {status: InProgress, lastTransitionTime: "2026-01-05T00:09:00Z"}
- name: gpu-b
  health: {status: Healthy, cloudProviderTarget: 0, minSize: 0, maxSize: 4}
  scaleUp:
    status: Backoff
    backoffInfo: {errorCode: OUT_OF_RESOURCES, errorMessage: no capacity in zone a}
    lastTransitionTime: 2026-01-05T00:08:00Z
"""

TEXT = """\
Cluster-autoscaler status at 2026-01-05 00:10:00.5 +0000 UTC:
Cluster-wide:
  Health:      Healthy (ready=5 unready=0 notStarted=0 registered=5 longUnregistered=0)
               LastProbeTime:      2026-01-05 00:10:00 +0000 UTC m=+600.0
  ScaleUp:     NoActivity (ready=5 registered=5)

NodeGroups:
  Name:        gpu-a
  Health:      Healthy (ready=2 unready=0 registered=2 cloudProviderTarget=3 (minSize=1, maxSize=6))
               LastProbeTime:      2026-01-05 00:10:00 +0000 UTC m=+600.0
  ScaleUp:     InProgress (ready=2 cloudProviderTarget=3)
               LastProbeTime:      2026-01-05 00:10:00 +0000 UTC m=+600.0
               LastTransitionTime: 2026-01-05 00:09:00 +0000 UTC m=+540.0
  ScaleDown:   NoCandidates (candidates=0)

  Name:        gpu-b
  Health:      Healthy (ready=0 unready=0 registered=0 cloudProviderTarget=0 (minSize=0, maxSize=4))
               LastProbeTime:      2026-01-05 00:10:00 +0000 UTC m=+600.0
  ScaleUp:     Backoff (ready=0 cloudProviderTarget=0)
               LastProbeTime:      2026-01-05 00:10:00 +0000 UTC m=+600.0
               LastTransitionTime: 2026-01-05 00:08:00.123456789 +0000 UTC m=+480.0
  ScaleDown:   NoCandidates (candidates=0)
"""


def status(text: str) -> dict[str, Any]:
    return {"metadata": {"name": "cluster-autoscaler-status"}, "data": {"status": text}}


@pytest.mark.parametrize("text", [YAML, TEXT])
def test_both_forms_say_the_same(text: str) -> None:
    found = to_node_groups(status(text))
    assert found.keys() == {"gpu-a", "gpu-b"}
    assert (found["gpu-a"].most, found["gpu-a"].nodes, found["gpu-a"].refused) == (6, 3, None)
    assert f"{found['gpu-a'].rising_since:%H:%M %z}" == "00:09 +0000"
    assert found["gpu-b"].rising_since is None
    refused = found["gpu-b"].refused
    assert refused is not None
    assert refused.why.startswith("the Cluster Autoscaler backs off from node group gpu-b")
    assert f"{refused.at:%H:%M %z}" == "00:08 +0000"


@pytest.mark.parametrize("text", [YAML, TEXT])
def test_nodes_on_their_way_are_not_there_yet(text: str) -> None:
    group = to_node_groups(status(text))["gpu-a"]
    assert (group.nodes, group.registered, group.there) == (3, 2, 2)


def test_where_nothing_says_how_many_are_there_it_is_as_many_as_were_asked_for() -> None:
    group = to_node_groups(status(TEXT.replace("registered=2 ", "")))["gpu-a"]
    assert (group.registered, group.there) == (None, 3)
    assert to_node_groups(status(YAML))["gpu-b"].registered is None


def test_the_newer_form_says_why_too() -> None:
    refused = to_node_groups(status(YAML))["gpu-b"].refused
    assert refused is not None
    assert "(OUT_OF_RESOURCES: no capacity in zone a)" in refused.why


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[1",
        "nodeGroups: [{name: a}]",
        TEXT.replace("maxSize=6", "most=6"),
        TEXT.replace("LastTransitionTime: 2026-01-05 00:08:00.123456789 +0000 UTC m=+480.0", ""),
        TEXT.replace("2026-01-05 00:08:00.123456789", "yesterday noon"),
    ],
)
def test_a_form_that_is_not_known_is_not_taken_for_no_groups(text: str) -> None:
    with pytest.raises(UnreadableStatus):
        to_node_groups(status(text))


def test_no_groups_are_none() -> None:
    assert to_node_groups(status("autoscalerStatus: Running\n")) == {}


def test_the_groups_of_a_type_with_the_gpus_of_a_node() -> None:
    assert to_groups_of_type("a=8, eks-b=c=4,") == (GroupOfType("a", 8), GroupOfType("eks-b=c", 4))
    assert to_groups_of_type("") == ()


@pytest.mark.parametrize("annotation", ["a", "a=", "=8", "a=0", "a=eight"])
def test_an_annotation_that_cannot_be_read_says_what_would_be_right(annotation: str) -> None:
    with pytest.raises(ValueError, match=r"must be NAME=GPUS.*e\.g\. h100-pool=8"):
        to_groups_of_type(annotation)


def test_a_group_that_is_named_twice_would_count_twice() -> None:
    with pytest.raises(ValueError, match=r"node group 'a' must be named once.*e\.g\. a=4"):
        to_groups_of_type("a=8,b=8,a=4")


@pytest.mark.parametrize(
    "text",
    [
        YAML.replace("total: 2, ready: 2, notStarted: 0", "total: 2, ready: 1, notStarted: 1"),
        TEXT.replace("ready=2 unready=0 registered=2 cl", "ready=1 notStarted=1 registered=2 cl"),
    ],
)
def test_nodes_that_have_not_started_yet_are_told(text: str) -> None:
    assert to_node_groups(status(text))["gpu-a"].starting == 1
    assert to_node_groups(status(YAML))["gpu-a"].starting == 0
