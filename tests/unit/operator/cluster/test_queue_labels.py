"""Which queue the pods of a target are sent to, and which of them are held."""

from __future__ import annotations

from typing import Any

import pytest

from services.operator.cluster.queue_labels import QUEUE_LABEL, is_gated, is_managed, queue_of


def labelled(queue: str) -> dict[str, Any]:
    return {"metadata": {"labels": {QUEUE_LABEL: queue}}}


@pytest.mark.parametrize(
    ("resource", "queue"),
    [
        (labelled("team-a"), "team-a"),
        ({"metadata": {}, "spec": {"template": labelled("team-b")}}, "team-b"),
        (labelled("team-a") | {"spec": {"template": labelled("team-b")}}, "team-a"),
        ({"spec": {"leaderWorkerTemplate": {"workerTemplate": labelled("team-c")}}}, "team-c"),
        ({"metadata": {"labels": {"app": "x"}}, "spec": {"template": {}}}, ""),
        ({}, ""),
    ],
)
def test_the_label_of_the_target_or_its_pods(resource: dict[str, Any], queue: str) -> None:
    assert queue_of(resource) == queue


def test_a_pod_with_a_gate_and_no_node_is_held() -> None:
    gates = [{"name": "kueue.x-k8s.io/admission"}]
    assert is_gated({"schedulingGates": gates})
    assert is_gated({"schedulingGates": [{"name": "example.com/other"}]})
    assert not is_gated({"schedulingGates": gates, "nodeName": "n1"})
    assert not is_gated({"schedulingGates": []})
    assert not is_gated({})


def test_kueue_may_have_held_what_has_one_of_its_labels() -> None:
    assert is_managed({QUEUE_LABEL: "team-a"})
    assert is_managed({"kueue.x-k8s.io/managed": "true"})
    assert not is_managed({"app": "x"})
