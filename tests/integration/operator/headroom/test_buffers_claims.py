"""No CapacityBuffer is kept for services that claim their devices: it would ask in vain."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from services.lab.cluster.nodes.definitions import BUFFER_GROUP, BUFFERS
from tests.integration.operator.conftest import Bench
from tests.integration.operator.devices.claimed import (
    add_template,
    deploy_claiming,
    drop_devices,
    serve_devices,
)
from tests.integration.operator.headroom.test_buffers import (
    BUDGETS,
    CRDS,
    advise,
    ask,
    buffers,
    ready,
    serve,
    templates,
)
from tests.unit.operator.allocation import request

pytestmark = pytest.mark.integration


@pytest.fixture
def dra(bench: Bench) -> Iterator[Bench]:
    """An operator that may hold headroom of H100 for a service that asks for its GPUs by name."""
    bench.deps.settings.operator_headroom = True
    bench.deps.settings.lease_namespace = bench.lab.namespace
    serve_devices(bench)
    serve(bench)
    ask(bench)
    bench.lab.deploy("llama", replicas=1, median_s=20)
    bench.lab.autoscale("llama")
    yield bench
    drop_devices(bench.lab)
    for path in (BUDGETS, f"{CRDS}/{BUFFERS}.{BUFFER_GROUP}"):
        bench.lab.http.delete(path)


def test_a_buffer_goes_where_the_services_claim_their_devices(dra: Bench) -> None:
    advise(dra, 16)
    dra.step()
    assert len(buffers(dra)) == 1
    dra.lab.delete_autoscaler("llama")
    add_template(dra.lab, "two", request(count=2))
    deploy_claiming(dra.lab, "claiming", 1, claims="two")
    dra.lab.autoscale("claiming", gpusPerReplica=2)
    advise(dra, 16)
    dra.step()
    assert (buffers(dra), templates(dra)) == ([], [])
    assert (ready(dra)["status"], ready(dra)["reason"]) == ("False", "ClaimsNotHeld")
    assert "mode to advise" in ready(dra)["message"]
