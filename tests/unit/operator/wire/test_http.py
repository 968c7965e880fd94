"""Retries are bounded and wait as asked; errors carry the server's words; calls are counted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import urllib3
from kubernetes import client

from services.kernel import telemetry
from services.kernel.errors import ConfigurationError
from services.operator.kube.client import MERGE_PATCH, KubeClient, foreign_autoscalers
from services.operator.resource.autoscaler import Target
from services.operator.wire.http import Call, KubeError, KubeHttp, load_configuration

Answer = tuple[int, Mapping[str, str], bytes]
LIST = Call("list", "pods", "/api/v1/pods")
HPA_OF_KEDA = {
    "metadata": {
        "namespace": "a",
        "name": "keda-hpa-k",
        "labels": {"scaledobject.keda.sh/name": "k"},
    },
    "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "b"}},
}
TARGET = Target("apps/v1", "Deployment", "serving", "llama")


class Scripted(KubeHttp):
    """Answers from a list instead of the network."""

    def __init__(self, answers: list[Answer | Exception]) -> None:
        self.slept: list[float] = []
        configuration = client.Configuration()
        configuration.host = "http://127.0.0.1:1"
        super().__init__(configuration, self.slept.append)
        self.answers = answers
        self.calls: list[Call] = []

    def _once(self, call: Call) -> Answer:
        self.calls.append(call)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def ok(body: Any) -> Answer:
    return 200, {}, json.dumps(body).encode()


def refusal(status: int, reason: str = "", headers: Mapping[str, str] | None = None) -> Answer:
    body = {"kind": "Status", "reason": reason, "message": f"{reason} it is"}
    return status, headers or {}, json.dumps(body).encode()


def test_an_answer_is_its_json() -> None:
    assert Scripted([ok({"items": [1]})]).send(LIST) == {"items": [1]}


def test_429_waits_as_long_as_asked_but_not_for_ever() -> None:
    asked = [refusal(429, headers={"Retry-After": seconds}) for seconds in ("2", "900")]
    http = Scripted([*asked, ok({})])
    http.send(LIST)
    assert http.slept == [2.0, 5.0]


def test_5xx_and_broken_connections_are_tried_four_times() -> None:
    http = Scripted(
        [urllib3.exceptions.ProtocolError("broken"), refusal(500), refusal(503), ok({})]
    )
    http.send(LIST)
    assert len(http.slept) == 3
    http = Scripted([refusal(500, "InternalError") for _ in range(9)])
    with pytest.raises(KubeError, match="InternalError it is"):
        http.send(LIST)
    assert len(http.answers) == 5


def test_what_must_not_be_repeated_is_not() -> None:
    call = Call("patch", "deployments/scale", "/x", {}, MERGE_PATCH, is_repeatable=False)
    http = Scripted([refusal(500), ok({})])
    with pytest.raises(KubeError) as caught:
        http.send(call)
    assert caught.value.is_ambiguous
    http = Scripted([refusal(429), ok({})])
    http.send(call)


@pytest.mark.parametrize(
    ("status", "is_conflict", "is_missing"), [(409, True, False), (404, False, True)]
)
def test_refusals_are_told_apart_and_not_repeated(
    status: int, is_conflict: bool, is_missing: bool
) -> None:
    http = Scripted([refusal(status, "Word")])
    with pytest.raises(KubeError) as caught:
        http.send(LIST)
    assert (caught.value.is_conflict, caught.value.is_missing) == (is_conflict, is_missing)
    assert caught.value.reason == "Word"


def test_an_answer_that_is_no_json_is_shown() -> None:
    with pytest.raises(KubeError, match="no upstream"):
        Scripted([(403, {}, b"no upstream")]).send(LIST)


def test_an_unreachable_server_says_so_and_is_counted() -> None:
    configuration = client.Configuration()
    configuration.host = "http://127.0.0.1:1"
    http = KubeHttp(configuration, sleep=lambda _: None)
    counted = telemetry.kube_requests_total.labels("list pods", "none")
    before = counted._value.get()
    with pytest.raises(KubeError) as caught:
        http.send(LIST)
    assert caught.value.status == 0
    assert counted._value.get() - before == http.n_calls == 4


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
        foreign_autoscalers(KubeClient(Scripted(hpas_refused)))
    with pytest.raises(KubeError, match="Unauthorized"):
        foreign_autoscalers(KubeClient(Scripted([refusal(401, "Unauthorized")])))


def test_scaled_objects_that_may_not_be_listed_are_known_by_their_hpas() -> None:
    """A right that is missing hides whether KEDA is there at all: discovery tells."""
    entry = {"name": "scaledobjects", "kind": "ScaledObject", "namespaced": True}
    forbidden, hpas = refusal(403, "Forbidden"), ok({"items": [HPA_OF_KEDA]})
    found = foreign_autoscalers(KubeClient(Scripted([forbidden, ok({"resources": [entry]}), hpas])))
    assert "Forbidden" in found.unread
    label = "HorizontalPodAutoscaler/keda-hpa-k"
    assert found.conflict(("apps", "Deployment", "a", "b"), ("a", "b")) == label
    absent = [forbidden, refusal(404, "NotFound"), ok({"items": []})]
    assert foreign_autoscalers(KubeClient(Scripted(absent))).unread == ""


def test_a_scale_is_patched_with_its_precondition() -> None:
    http = Scripted([ok({"metadata": {"resourceVersion": "8"}, "spec": {"replicas": 5}})])
    scale = KubeClient(http).patch_scale(TARGET, 5, "7")
    assert (scale.replicas, scale.resource_version) == (5, "8")
    (call,) = http.calls
    assert call.path == "/apis/apps/v1/namespaces/serving/deployments/llama/scale"
    assert call.body == {"metadata": {"resourceVersion": "7"}, "spec": {"replicas": 5}}
    assert (call.verb, call.content_type, call.is_repeatable) == ("patch", MERGE_PATCH, False)


def test_no_cluster_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.setattr(
        "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none")
    )
    with pytest.raises(ConfigurationError, match="set KUBECONFIG or HARMONY_KUBE_URL"):
        load_configuration("")
