"""The copies that passes read: complete, in step, not relied upon when they cannot be kept."""

from __future__ import annotations

import pytest

from services.operator.kube.mirrored import MirroredKube
from services.operator.wire.http import KubeError
from tests.integration.operator.conftest import Bench
from tests.integration.operator.mirroring import eventually, in_step, values

pytestmark = pytest.mark.integration


def test_a_copy_is_read_in_pages_and_follows_what_changes(
    bench: Bench, mirrored: MirroredKube
) -> None:
    for n in range(5):
        bench.lab.deploy(f"w{n}")
    assert len(values(mirrored.list_objects("Deployment"))) == 5
    bench.lab.scale("w1", 4)
    bench.lab.deploy("w5")
    bench.lab.http.delete(f"/apis/apps/v1/namespaces/{bench.lab.namespace}/deployments/w0")
    eventually(in_step(mirrored, "Deployment"), "the copy to follow")
    assert set(values(mirrored.list_objects("Deployment"))) == {f"w{n}" for n in range(1, 6)}


@pytest.mark.parametrize("kind", ["drop_watch", "gone"])
def test_a_watch_that_breaks_loses_no_change(
    bench: Bench, mirrored: MirroredKube, kind: str
) -> None:
    bench.lab.deploy("llama")
    mirrored.list_objects("Deployment")
    bench.lab.fault(kind=kind, resource="deployments", times=2)
    bench.lab.scale("llama", 5)
    bench.lab.deploy("qwen")
    eventually(in_step(mirrored, "Deployment"), "the copy to follow")


def test_a_copy_that_cannot_be_kept_is_not_relied_upon(
    bench: Bench, mirrored: MirroredKube
) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    bench.reconcile()
    bench.lab.fault(kind="unavailable", resource="deployments", times=100_000)
    bench.lab.fault(kind="drop_watch", resource="deployments")

    def refuses() -> bool:
        try:
            mirrored.list_objects("Deployment")
        except KubeError as error:
            return error.status in (0, 503)
        return False

    eventually(refuses, "it to say so")
    with pytest.raises(KubeError):
        bench.reconcile()
    bench.lab.http.delete("/lab/faults")
    eventually(lambda: not refuses(), "it to recover")


def test_a_kind_that_is_not_there_is_none_and_one_that_must_be_is_an_error(
    bench: Bench, mirrored: MirroredKube
) -> None:
    assert mirrored.list_objects("ScaledObject") == []
    n_calls = mirrored.n_calls
    assert mirrored.list_objects("ScaledObject") == []
    assert mirrored.n_calls == n_calls
