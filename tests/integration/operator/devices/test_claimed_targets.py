"""Services on devices that they claim: room, supply and claims that never bind.

On Postgres and the simulated cluster, whose nodes publish four H100 each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from services.lab.cluster.nodes.definitions import definitions as node_definitions
from tests.integration.operator.conftest import GROUP_PATH, Bench
from tests.integration.operator.devices.claimed import (
    add_template,
    deploy_claiming,
    drop_devices,
    serve_devices,
)
from tests.integration.operator.reconcile.chain import Chain
from tests.unit.operator.allocation import request

pytestmark = pytest.mark.integration

BUDGETS, POOLS = f"{GROUP_PATH}/gpubudgets", "/apis/karpenter.sh/v1/nodepools"


@pytest.fixture
def dra(bench: Bench) -> Iterator[Bench]:
    """Two nodes of four H100 that are claimed, beside those that are asked for by name."""
    serve_devices(bench)
    yield bench
    drop_devices(bench.lab)
    bench.lab.http.delete(BUDGETS)


def state(bench: Bench) -> dict[str, Any]:
    return max(bench.rows("replica_states"), key=lambda row: row["observed_at"])


def test_the_room_is_what_no_claim_holds(dra: Bench) -> None:
    add_template(dra.lab, "two", request(count=2))
    deploy_claiming(dra.lab, "llama", 2, claims="two")
    dra.lab.autoscale("llama", gpusPerReplica=2)
    dra.reconcile()
    assert (state(dra)["ready_replicas"], state(dra)["schedulable_gpus"]) == (2, 4)
    assert dra.lab.condition("llama", "RoomUnknown")["status"] == "False"
    chain = Chain(dra)
    for n in range(6):
        row = chain.step(10.0 * (2.5 + n))
    assert dra.lab.replicas("llama") == 4
    assert row["binding_constraint"] == "schedulable"
    assert dra.lab.condition("llama", "ScalingLimited")["reason"] == "InsufficientGPUs"
    assert chain.served[-1] == 4


def test_other_claims_take_their_part(dra: Bench) -> None:
    add_template(dra.lab, "one")
    deploy_claiming(dra.lab, "theirs", 5)
    deploy_claiming(dra.lab, "llama", 1)
    dra.lab.autoscale("llama")
    dra.reconcile()
    assert state(dra)["schedulable_gpus"] == 2
    dra.lab.scale("theirs", 2)
    dra.step()
    assert state(dra)["schedulable_gpus"] == 5


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (request(allocationMode="All"), "allocationMode All"),
        (
            request(selectors=[{"cel": {"expression": "device.driver.startsWith('gpu')"}}]),
            "an expression that is not evaluated",
        ),
    ],
)
def test_what_cannot_be_told_is_unknown_and_said(
    dra: Bench, asked: dict[str, Any], words: str
) -> None:
    add_template(dra.lab, "odd", asked)
    deploy_claiming(dra.lab, "llama", 1, claims="odd")
    dra.lab.autoscale("llama")
    dra.reconcile()
    assert state(dra)["schedulable_gpus"] is None
    found = dra.lab.condition("llama", "RoomUnknown")
    assert (found["status"], found["reason"]) == ("True", "ClaimsUnknown")
    assert words in found["message"]


def test_a_claim_that_never_binds_is_said_and_asked_for_no_more(dra: Bench) -> None:
    add_template(dra.lab, "one", request(deviceClassName="gpu.example.com"))
    deploy_claiming(dra.lab, "llama", 1)
    dra.lab.autoscale("llama")
    dra.reconcile()
    limited = dra.lab.condition("llama", "ScalingLimited")
    assert (limited["status"], limited["reason"]) == ("True", "ClaimNotFound")
    assert "DeviceClass/gpu.example.com, which does not exist" in limited["message"]
    chain = Chain(dra)
    for _ in range(6):
        chain.step(80.0)
    assert dra.lab.replicas("llama") == 1
    assert state(dra)["schedulable_gpus"] == 0


def test_a_claim_that_waits_for_long_ends_the_asking_even_where_it_is_not_read(
    dra: Bench,
) -> None:
    dra.deps.settings.operator_dra = False
    add_template(dra.lab, "many", request(count=9))
    deploy_claiming(dra.lab, "llama", 1, claims="many")
    dra.lab.autoscale("llama")
    dra.reconcile()
    found = dra.lab.condition("llama", "RoomUnknown")
    assert (found["status"], found["reason"]) == ("True", "ClaimsNotRead")
    chain = Chain(dra)
    counts = []
    for _ in range(10):
        chain.step(80.0)
        counts.append(dra.lab.replicas("llama"))
    assert counts[-1] == counts[5]
    limited = dra.lab.condition("llama", "ScalingLimited")
    assert (limited["status"], limited["reason"]) == ("True", "ClaimsUnbound")
    assert "nothing that is free satisfies ResourceClaimTemplate/many" in limited["message"]
    assert "ResourceConstrained" in [event["reason"] for event in dra.lab.events()]


def provisioned(bench: Bench) -> dict[str, Any]:
    status = bench.lab.http.get(f"{BUDGETS}/hopper").json()["status"]
    return next(dict(c) for c in status["conditions"] if c["type"] == "Provisioned")


def test_a_pool_of_nodes_does_not_count_for_pods_with_claims(dra: Bench) -> None:
    for definition in node_definitions():
        dra.lab.define(definition)
    dra.deps.settings.operator_supply = True
    requirement = {"key": "nvidia.com/gpu.product", "operator": "In", "values": ["H100"]}
    spec = {
        "template": {"spec": {"requirements": [requirement]}},
        "limits": {"nvidia.com/gpu": "64"},
    }
    dra.lab.post(POOLS, {"metadata": {"name": "hopper"}, "spec": spec})
    budget = {"gpuType": "H100", "gpus": 100, "supply": {"mode": "auto"}}
    dra.lab.post(BUDGETS, {"metadata": {"name": "hopper"}, "spec": budget})
    add_template(dra.lab, "one")
    deploy_claiming(dra.lab, "llama", 1)
    dra.lab.autoscale("llama")
    dra.reconcile()
    found = provisioned(dra)
    assert (found["status"], found["reason"]) == ("False", "ClaimsIgnored")
    assert "settings.enableDRA" in found["message"]
    assert state(dra)["new_node_gpus"] is None
    headers = {"Content-Type": "application/merge-patch+json"}
    stated = {"spec": {"supply": {"mode": "provisioned", "ceiling": 40}}}
    assert dra.lab.http.patch(f"{BUDGETS}/hopper", json=stated, headers=headers).is_success
    dra.step()
    assert (provisioned(dra)["status"], provisioned(dra)["reason"]) == ("True", "CeilingSet")
    supply = dra.lab.http.get(f"{BUDGETS}/hopper").json()["status"]["supply"]
    assert supply["askedGpus"] == 1
    assert state(dra)["new_node_gpus"] > 0
    dra.lab.http.delete(POOLS)
