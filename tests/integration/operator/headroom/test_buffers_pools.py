"""Headroom of one GPU type over several NodePools, and pieces of it of other sizes."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from tests.integration.operator.conftest import Bench
from tests.integration.operator.headroom.test_buffers import (
    MERGE,
    POOLS,
    add_pool,
    ask,
    buffers,
    held,
    ready,
    serve,
    templates,
)

__all__ = ["held"]
pytestmark = pytest.mark.integration

N_STEPS = 20
GPU = "nvidia.com/gpu"


def pool(bench: Bench, name: str, **node: Any) -> None:
    """Another NodePool of H100 machines with eight GPUs that go as soon as nobody asks for them."""
    requirement = {"key": f"{GPU}.product", "operator": "In", "values": ["H100"]}
    given = {"node-gpus": "8", "node-startup-median": "30s"}
    annotations = {f"lab.harmony.dev/{key}": value for key, value in given.items()}
    spec = {
        "template": {"spec": {"requirements": [requirement], **node}},
        "limits": {GPU: "64"},
        "disruption": {"consolidateAfter": "0s"},
    }
    bench.lab.post(POOLS, {"metadata": {"name": name, "annotations": annotations}, "spec": spec})


def advise(bench: Bench, gpus: int, chunk: int) -> None:
    row = {"gpus": gpus, "chunk": chunk, "at": bench.clock.now()}
    statement = (
        "INSERT INTO gpu_headroom VALUES (1, 'H100', 0.01, :gpus, :gpus, :chunk, 0, 0.2, 0.01, "
        "40, false, 1, 0, 0, 0.5, 0, :at, :at)"
    )
    with bench.engine.begin() as connection:
        connection.execute(text("DELETE FROM gpu_headroom"))
        connection.execute(text(statement), row)


def added(bench: Bench) -> set[str]:
    """Names of the nodes that were added from pools."""
    params = {"labelSelector": "karpenter.sh/nodepool"}
    items = bench.lab.http.get("/api/v1/nodes", params=params).json()["items"]
    return {each["metadata"]["name"] for each in items}


def held_gpus(bench: Bench) -> int:
    """GPUs that the buffer asks room for."""
    (buffer,) = buffers(bench)
    (template,) = templates(bench)
    (container,) = template["template"]["spec"]["containers"]
    return int(buffer["spec"]["replicas"]) * int(container["resources"]["limits"][GPU])


def test_nodes_of_two_pools_are_not_exchanged(held: Bench) -> None:
    serve(held)
    add_pool(held)
    pool(held, "zone-b")
    ask(held, ceiling=1000)
    ever: set[str] = set()
    for _ in range(N_STEPS):
        advise(held, 24, 8)
        held.step()
        ever |= added(held)
    assert len(added(held)) == 3
    assert len(ever) == 3
    assert ready(held)["reason"] == "Provisioning"


def test_a_pool_that_no_service_may_use_holds_nothing(held: Bench) -> None:
    """It has the most room, and a taint that the service's pods do not tolerate."""
    serve(held)
    add_pool(held)
    taint = {"key": "team", "value": "research", "effect": "NoSchedule"}
    pool(held, "a-research", taints=[taint])
    ask(held, ceiling=1000)
    for _ in range(3):
        advise(held, 24, 8)
        held.step()
    assert {name.rpartition("-")[0] for name in added(held)} == {"hopper"}
    (template,) = templates(held)
    tolerations = template["template"]["spec"]["tolerations"]
    assert tolerations == [{"key": GPU, "operator": "Exists"}]


@pytest.mark.parametrize(("before", "after"), [(1, 8), (8, 1)])
def test_what_is_held_stays_where_its_pieces_get_another_size(
    held: Bench, before: int, after: int
) -> None:
    serve(held)
    add_pool(held)
    ask(held, ceiling=1000)
    for chunk in (before, before, after, after, after):
        advise(held, 24, chunk)
        held.step()
        assert held_gpus(held) == 24, chunk
    held.deps.memory.forget()
    for chunk in (before, after):
        advise(held, 8, chunk)
        held.step()
        assert held_gpus(held) == 24, "it is not known what was advised before"


def test_a_pool_that_services_may_no_longer_use_is_let_go_of(held: Bench) -> None:
    serve(held)
    add_pool(held)
    ask(held, ceiling=1000)
    advise(held, 24, 8)
    held.step()
    assert len(buffers(held)) == 1
    taint = {"key": "team", "value": "research", "effect": "NoSchedule"}
    requirement = {"key": f"{GPU}.product", "operator": "In", "values": ["H100"]}
    spec = {"template": {"spec": {"requirements": [requirement], "taints": [taint]}}}
    answer = held.lab.http.patch(f"{POOLS}/hopper", json={"spec": spec}, headers=MERGE)
    assert answer.status_code == 200, answer.text
    advise(held, 24, 8)
    held.step()
    assert (buffers(held), templates(held)) == ([], [])
    assert (ready(held)["status"], ready(held)["reason"]) == ("False", "NoPoolTakes")
    assert "labels and taints of the pools" in ready(held)["message"]
