"""Mode Approval beside KEDA: the operator notes what was approved, the scaler serves it."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest

from services.kernel import telemetry
from services.scaler.proto.externalscaler_pb2_grpc import ExternalScalerStub
from services.scaler.service import ScalerDeps, advise_one
from tests.integration.operator.conftest import (  # noqa: F401 - fixtures
    Bench,
    bench,
    cluster_url,
    lab,
)
from tests.integration.operator.reconcile.test_observe_conflicts import FOLLOW, KEDA
from tests.integration.scaler.conftest import Caller, Server

pytestmark = pytest.mark.integration

PREFIX = "scaling.harmony.dev"


@pytest.fixture
def deps(bench: Bench) -> ScalerDeps:  # noqa: F811 - the fixture
    changes = {"scaler_port": 0, "scaler_refresh_s": 600.0}
    ours = bench.deps.settings.model_copy(update=changes)
    return ScalerDeps(bench.engine, bench.clock, ours)


@pytest.fixture
def keda(bench: Bench, deps: ScalerDeps) -> Iterator[Caller]:  # noqa: F811 - the fixture
    """A ScaledObject on the target, and KEDA's side of the protocol."""
    bench.lab.define(KEDA)
    bench.fresh_kube()
    path = f"/apis/keda.sh/v1alpha1/namespaces/{bench.lab.namespace}/scaledobjects"
    spec = {"scaleTargetRef": {"name": "llama"}} | FOLLOW
    bench.lab.post(path, {"metadata": {"name": "llama"}, "spec": spec})
    with Server(deps) as server, grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield Caller(ExternalScalerStub(channel), channel, namespace=bench.lab.namespace)
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    bench.lab.http.delete(f"{definitions}/scaledobjects.keda.sh")
    for gauge in (telemetry.advised_replicas, telemetry.advice_expires_timestamp_seconds):
        gauge.clear()  # other tests read them by the workload's name alone


def test_what_is_approved_is_served_and_nothing_else(
    bench: Bench,  # noqa: F811 - the fixture
    keda: Caller,
    deps: ScalerDeps,
) -> None:
    key = (bench.lab.namespace, "llama")
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama", mode="Approval")
    bench.reconcile()
    first = bench.decide("llama", 5)
    bench.reconcile()
    assert bench.results() == [(first, 1, "awaiting_approval")]
    assert keda.count() == 2
    assert advise_one(deps, key).reason == f"held: decision {first} is not approved"

    bench.lab.annotate("llama", {f"{PREFIX}/approved-decision": str(first)})
    bench.reconcile()
    assert bench.results()[-1] == (first, 2, "delegated")
    assert keda.count() == 5
    bench.step()
    second = bench.decide("llama", 6)
    bench.reconcile()
    assert bench.results()[-1] == (second, 1, "awaiting_approval")
    assert keda.count() == 5, "KEDA may not have asked in between"

    bench.lab.scale("llama", 5)  # KEDA's HPA acts
    rejection = {f"{PREFIX}/rejected-decision": str(second), f"{PREFIX}/rejected-by": "ada"}
    bench.lab.annotate("llama", dict(rejection))
    for _ in range(3):
        bench.step()
        third = bench.decide("llama", 7)
        bench.reconcile()
    assert keda.count() == 5
    bench.lab.annotate("llama", {f"{PREFIX}/rejected-decision": str(third)})
    bench.reconcile()
    assert advise_one(deps, key).reason.startswith(f"held: decision {third} was rejected by ada")

    bench.lab.annotate(
        "llama", {f"{PREFIX}/rejected-decision": None, f"{PREFIX}/approved-decision": str(third)}
    )
    bench.reconcile()
    assert keda.count() == 7
    assert bench.lab.replicas("llama") == 5, "the operator writes nothing"
