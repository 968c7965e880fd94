"""Requests of the client: from memory where allowed, with preconditions; errors stay errors."""

from __future__ import annotations

import pytest

from services.operator.kube.client import MERGE_PATCH, KubeClient, list_other_autoscalers
from services.operator.resource.autoscaler import ScaleTarget
from services.operator.wire.http import KubeError
from tests.unit.operator.scripted import Scripted, ok, refusal

HPA_OF_KEDA = {
    "metadata": {
        "namespace": "a",
        "name": "keda-hpa-k",
        "labels": {"scaledobject.keda.sh/name": "k"},
    },
    "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "b"}},
}


TARGET = ScaleTarget("apps/v1", "Deployment", "serving", "llama")


def test_lists_may_come_from_the_servers_memory_except_autoscalers() -> None:
    http = Scripted([ok({"items": []}), ok({"items": []})])
    kube = KubeClient(http)
    kube.list_objects("Pod")
    kube.list_objects("GPUAutoscaler")
    assert [call.path.partition("?")[2] for call in http.calls] == ["resourceVersion=0", ""]


def test_an_absent_optional_kind_is_none_and_not_asked_for_at_once_again() -> None:
    http = Scripted([refusal(404, "NotFound")])
    kube = KubeClient(http)
    assert kube.list_objects("ScaledObject") == []
    assert kube.list_objects("ScaledObject") == []
    with pytest.raises(KubeError):
        KubeClient(Scripted([refusal(404, "NotFound")])).list_objects("Pod")


def test_a_forbidden_list_is_an_error_never_an_empty_one() -> None:
    hpas_refused = [ok({"items": []}), refusal(403, "Forbidden")]
    with pytest.raises(KubeError, match="Forbidden"):
        list_other_autoscalers(KubeClient(Scripted(hpas_refused)))
    with pytest.raises(KubeError, match="Unauthorized"):
        list_other_autoscalers(KubeClient(Scripted([refusal(401, "Unauthorized")])))


def test_scaled_objects_that_may_not_be_listed_are_known_by_their_hpas() -> None:
    """A right that is missing hides whether KEDA is there at all: discovery tells."""
    entry = {"name": "scaledobjects", "kind": "ScaledObject", "namespaced": True}
    forbidden, hpas = refusal(403, "Forbidden"), ok({"items": [HPA_OF_KEDA]})
    found = list_other_autoscalers(
        KubeClient(Scripted([forbidden, ok({"resources": [entry]}), hpas]))
    )
    assert "Forbidden" in found.unread
    label = "HorizontalPodAutoscaler/keda-hpa-k"
    assert found.conflict(("apps", "Deployment", "a", "b"), ("a", "b")) == label
    absent = [forbidden, refusal(404, "NotFound"), ok({"items": []})]
    assert list_other_autoscalers(KubeClient(Scripted(absent))).unread == ""


def test_a_scale_is_patched_with_its_precondition() -> None:
    http = Scripted([ok({"metadata": {"resourceVersion": "8"}, "spec": {"replicas": 5}})])
    scale = KubeClient(http).patch_scale(TARGET, 5, "7")
    assert (scale.replicas, scale.resource_version) == (5, "8")
    (call,) = http.calls
    assert call.path == "/apis/apps/v1/namespaces/serving/deployments/llama/scale"
    assert call.body == {"metadata": {"resourceVersion": "7"}, "spec": {"replicas": 5}}
    assert (call.verb, call.content_type, call.is_repeatable) == ("patch", MERGE_PATCH, False)
