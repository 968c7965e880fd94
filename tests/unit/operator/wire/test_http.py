"""Retries are bounded and wait as asked; errors carry the server's words; calls are counted."""

from __future__ import annotations

from pathlib import Path

import pytest
import urllib3
from kubernetes import client
from kubernetes.config import ConfigException

from services.kernel import telemetry
from services.kernel.errors import ConfigurationError
from services.operator.kube.client import MERGE_PATCH
from services.operator.wire.http import (
    Call,
    KubeError,
    KubeHttp,
    RequestSettings,
    load_configuration,
)
from tests.unit.operator.scripted import Scripted, ok, refusal

LIST = Call("list", "pods", "/api/v1/pods")


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


def test_a_500_that_is_of_one_object_is_not_waited_for() -> None:
    call = Call("get", "pools/scale", "/x", is_final_500=True)
    http = Scripted([refusal(500), ok({})])
    with pytest.raises(KubeError, match="500"):
        http.send(call)
    assert http.slept == []
    assert Scripted([refusal(503), refusal(429), ok({"a": 1})]).send(call) == {"a": 1}


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
    request = RequestSettings(cluster="eu-west")
    http = KubeHttp(configuration, sleep=lambda _: None, request=request)
    counted = telemetry.kube_requests_total.labels("eu-west", "list pods", "none")
    before = counted._value.get()
    with pytest.raises(KubeError) as caught:
        http.send(LIST)
    assert caught.value.status == 0
    assert counted._value.get() - before == http.n_calls == 4


def test_no_cluster_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.setattr(
        "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none")
    )
    with pytest.raises(ConfigurationError, match="set KUBECONFIG or HARMONY_KUBE_URL"):
        load_configuration("")


def test_an_answer_cut_short_is_no_answer() -> None:
    """It was done, and it is not known what came of it: as where the connection broke."""
    assert Scripted([(200, {}, b'{"items": ['), ok({"items": []})]).send(LIST) == {"items": []}
    call = Call("patch", "deployments/scale", "/x", {}, MERGE_PATCH, is_repeatable=False)
    with pytest.raises(KubeError, match="/x: ") as caught:
        Scripted([(200, {}, b"<html>")]).send(call)
    assert caught.value.is_ambiguous


def test_credentials_that_are_being_written_are_read_again() -> None:
    http = Scripted([ConfigException("Token file exists but empty."), ok({"items": [1]})])
    assert http.send(LIST) == {"items": [1]}
