"""A client that reads from copies: what it lists, what it asks the API server, how it ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from services.operator.kube.client import PATHS, KubeClient
from services.operator.kube.mirrored import EVERY_PASS, MirroredKube
from services.operator.resource.autoscaler import ScaleTarget
from services.operator.wire.http import KubeError
from tests.integration.operator.conftest import Bench, Lab
from tests.integration.operator.mirroring import eventually, values

pytestmark = pytest.mark.integration


def told(call: Callable[[], Any]) -> KubeError:
    """The error of a call that is refused."""
    with pytest.raises(KubeError) as refused:
        call()
    return refused.value


def open_watches(lab: Lab) -> int:
    return int(lab.http.get("/lab/requests").json()["openWatches"])


def test_it_lists_what_the_api_server_has_and_asks_only_once(
    bench: Bench, mirrored: MirroredKube
) -> None:
    for name in ("llama", "qwen", "gemma"):
        bench.lab.deploy(name)
    plain = KubeClient(bench.http)
    for kind in ("Deployment", "Pod", "Node"):
        assert values(mirrored.list_objects(kind)) == values(plain.list_objects(kind))
    eventually(lambda: open_watches(bench.lab) >= 3, "the watches to begin")
    n_calls = mirrored.n_calls
    assert set(values(mirrored.list_objects("Deployment"))) == {"llama", "qwen", "gemma"}
    assert mirrored.n_calls == n_calls


def test_calls_of_copies_and_of_the_client_itself_are_counted(
    bench: Bench, mirrored: MirroredKube
) -> None:
    bench.lab.deploy("llama")
    assert mirrored.n_calls == 0
    mirrored.list_objects("Deployment")
    n_calls = mirrored.n_calls
    assert n_calls >= 1
    eventually(lambda: open_watches(bench.lab) >= 1, "the watch to begin")
    n_calls = mirrored.n_calls
    mirrored.get_scale(ScaleTarget("apps/v1", "Deployment", bench.lab.namespace, "llama"))
    assert mirrored.n_calls == n_calls + 1


def test_kinds_of_every_pass_are_warmed_at_once(bench: Bench, mirrored: MirroredKube) -> None:
    bench.lab.deploy("llama")
    mirrored.warm(EVERY_PASS)
    assert set(mirrored._mirrors) == {PATHS[kind].path for kind in EVERY_PASS}
    assert set(values(mirrored.list_objects("Deployment"))) == {"llama"}
    assert len(mirrored._mirrors) == len(EVERY_PASS)


def test_a_kind_that_is_found_by_name_is_listed_whole(bench: Bench, mirrored: MirroredKube) -> None:
    bench.lab.deploy("llama")
    kind = mirrored.find_kind("apps/v1", "Deployment")
    assert kind is not None
    (found,) = [
        each
        for each in mirrored.list_kind(kind)
        if each["metadata"]["namespace"] == bench.lab.namespace
    ]
    assert found["spec"]["template"]["spec"]["containers"][0]["name"] == "server"


def test_a_copy_that_has_ended_is_begun_anew(bench: Bench, mirrored: MirroredKube) -> None:
    bench.lab.deploy("llama")
    kind = mirrored.find_kind("apps/v1", "Deployment")
    assert kind is not None
    before = mirrored.list_kind(kind)
    (old,) = mirrored._mirrors.values()
    old.stop()
    assert mirrored.list_kind(kind) == before
    (new,) = mirrored._mirrors.values()
    assert new is not old
    assert not new.has_ended


def test_a_status_that_is_written_is_read_back_at_once(
    bench: Bench, mirrored: MirroredKube
) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    eventually(lambda: mirrored.list_objects("GPUAutoscaler"), "the copy to begin")
    bench.lab.fault(kind="drop_watch", resource="gpuautoscalers", times=100_000)
    for desired in (3, 4, 5):
        status = {"desiredReplicas": desired}
        answer = mirrored.patch_status(bench.lab.namespace, "llama", status)
        assert answer["status"]["desiredReplicas"] == desired
        (found,) = mirrored.list_objects("GPUAutoscaler")
        assert orjson.loads(found.status)["desiredReplicas"] == desired


def test_a_kind_that_cannot_be_read_is_an_error(bench: Bench, mirrored: MirroredKube) -> None:
    bench.lab.fault(kind="error", resource="deployments", times=100_000)
    assert told(lambda: mirrored.list_objects("Deployment")).status == 500


def test_copies_that_are_ended_follow_no_more(bench: Bench, mirrored: MirroredKube) -> None:
    bench.lab.deploy("llama")
    mirrored.list_objects("Deployment")
    (mirror,) = mirrored._mirrors.values()
    mirrored.stop()
    bench.lab.deploy("qwen")
    eventually(lambda: not mirror._thread.is_alive(), "the copy to end")
