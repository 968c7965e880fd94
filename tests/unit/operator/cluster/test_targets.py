"""Targets as values, and problems that contain what to do."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.operator.cluster import targets
from services.operator.cluster.targets import TargetProblem
from services.operator.resource.autoscaler import ScaleTarget
from services.operator.wire.discovery import ServedKind

TARGET = ScaleTarget("x.dev/v1", "Server", "serving", "llama")
KIND = ServedKind("x.dev/v1", "Server", "servers")


def test_the_count_is_that_of_the_spec_unless_the_scale_gives_it() -> None:
    resource = {
        "metadata": {"uid": "u", "resourceVersion": "7"},
        "spec": {"replicas": 3},
        "status": {"conditions": [{"type": "ReplicaFailure", "status": "True", "reason": "Quota"}]},
    }
    state = targets.to_target_state(resource)
    assert (state.uid, state.resource_version, state.replicas) == ("u", "7", 3)
    assert (state.selector, state.failure, state.gang_size) == ("", "Quota", 1)
    scaled = targets.to_target_state(resource, 5, "app=x")
    assert (scaled.replicas, scaled.selector) == (5, "app=x")
    assert targets.to_target_state({"metadata": resource["metadata"]}).replicas == 1
    labels = {"kueue.x-k8s.io/queue-name": "team-a"}
    queued = {"metadata": {**resource["metadata"], "labels": labels}}
    assert (state.queue, targets.to_target_state(queued).queue) == ("", "team-a")


def test_a_roll_out_that_hangs_is_one_no_longer() -> None:
    moving = targets.TargetState("u", "7", 3, rollout="1 of 3")
    hung = targets.with_hung_rollout(moving, datetime(2026, 1, 5, 12, tzinfo=UTC))
    assert hung.rollout == ""
    assert hung.hung == "1 of 3, as it has been since 2026-01-05T12:00:00Z"


@pytest.mark.parametrize(
    ("problem", "reason", "is_known", "words"),
    [
        (targets.missing(TARGET), "TargetNotFound", True, "Server/llama does not exist"),
        (targets.not_served(TARGET), "KindNotServed", True, "install its CRD"),
        (targets.not_scalable(KIND), "NoScaleSubresource", True, "servers.x.dev has no scale"),
        (targets.forbidden(KIND, "no"), "TargetUnreadable", False, "no; grant the operator list"),
        (targets.without_pods("no"), "TargetUnreadable", False, "replicas cannot be counted"),
        (targets.unreadable("no"), "TargetUnreadable", False, "no; it is left as it is"),
    ],
)
def test_problems(problem: TargetProblem, reason: str, is_known: bool, words: str) -> None:
    assert (problem.reason, problem.is_known) == (reason, is_known)
    assert words in problem.message
