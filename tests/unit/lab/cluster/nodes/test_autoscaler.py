"""Nodes that come and go with the pods of the simulated cluster."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from services.lab.cluster.cluster import ClusterSettings, SimulatedCluster
from services.lab.cluster.nodes.definitions import CLAIMS, GROUP, POOLS, VERSION, definitions
from services.lab.cluster.storage.objects import Write
from services.lab.cluster.storage.resources import (
    CUSTOM_RESOURCE_DEFINITIONS,
    DEPLOYMENTS,
    EVENTS,
    NAMESPACES,
    NODES,
    ResourceType,
)

START_S = 1_767_571_200.0


class Lab:
    """A cluster without nodes whose time the test moves."""

    def __init__(self) -> None:
        self.cluster = SimulatedCluster(ClusterSettings((), seed=7, start_s=START_S))
        for definition in definitions():
            self.create(CUSTOM_RESOURCE_DEFINITIONS, definition)
        self.create(NAMESPACES, {"metadata": {"name": "serving"}})

    def create(self, rtype: ResourceType, body: dict[str, Any], namespace: str = "") -> None:
        write = Write("test", self.cluster.now())
        self.cluster.objects.create(rtype, namespace, body, write)

    def type(self, plural: str) -> ResourceType:
        found = self.cluster.registry.find(GROUP, VERSION, plural)
        assert found is not None
        return found

    def config_maps(self) -> ResourceType:
        found = self.cluster.registry.find("", "v1", "configmaps")
        assert found is not None
        return found

    def add_pool(self, limit: int = 32, **annotations: str) -> None:
        requirement = {"key": "nvidia.com/gpu.product", "operator": "In", "values": ["H100"]}
        spec = {
            "template": {"spec": {"requirements": [requirement]}},
            "limits": {"nvidia.com/gpu": limit},
            "disruption": {"consolidateAfter": "60s"},
        }
        given = {f"lab.harmony.dev/{name}": value for name, value in annotations.items()}
        metadata = {"name": "hopper", "annotations": given}
        self.create(self.type(POOLS), {"metadata": metadata, "spec": spec})

    def deploy(self, replicas: int) -> None:
        container = {"name": "c", "resources": {"limits": {"nvidia.com/gpu": "8"}}}
        template = {
            "metadata": {"labels": {"app": "llama"}},
            "spec": {
                "nodeSelector": {"nvidia.com/gpu.product": "H100"},
                "containers": [container],
            },
        }
        spec = {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "llama"}},
            "template": template,
        }
        self.create(DEPLOYMENTS, {"metadata": {"name": "llama"}, "spec": spec}, "serving")

    def scale(self, replicas: int) -> None:
        obj = self.cluster.store.get(DEPLOYMENTS, "serving", "llama")
        assert obj is not None
        body = {**obj, "spec": {**obj["spec"], "replicas": replicas}}
        self.cluster.objects.replace(DEPLOYMENTS, obj, body, Write("test", self.cluster.now()))

    def after(self, seconds: float) -> dict[str, Any]:
        return dict(self.cluster.advance(self.cluster.engine.now_s + seconds)["workloads"])

    def each(self, rtype: ResourceType, namespace: str = "") -> list[dict[str, Any]]:
        return [stored.obj for stored in self.cluster.store.each(rtype, namespace)]

    def counts(self) -> tuple[int, int]:
        state = self.cluster.state()["workloads"]["serving/llama"]
        return state["ready"], state["pending"]


@pytest.fixture
def lab() -> Lab:
    return Lab()


def conditions(obj: dict[str, Any]) -> dict[str, str]:
    return {c["type"]: c["status"] for c in obj["status"]["conditions"]}


def test_a_cluster_without_pools_has_no_autoscaler(lab: Lab) -> None:
    lab.deploy(1)
    lab.after(600)
    assert lab.cluster.nodes.next_s() is None
    assert lab.each(NODES) == []


def test_nodes_come_for_pods_that_wait(lab: Lab) -> None:
    lab.add_pool(**{"node-startup-median": "90s"})
    lab.deploy(3)
    lab.after(30)
    claims = lab.each(lab.type(CLAIMS))
    assert [conditions(each)["Launched"] for each in claims] == ["True"] * 3
    assert {conditions(each)["Registered"] for each in claims} == {"Unknown"}
    assert lab.counts() == (0, 3)
    lab.after(120)
    assert lab.counts() == (3, 0)
    claims = lab.each(lab.type(CLAIMS))
    assert {conditions(each)["Initialized"] for each in claims} == {"True"}
    (pool,) = lab.each(lab.type(POOLS))
    assert pool["status"]["resources"] == {"nvidia.com/gpu": "24"}
    node = lab.each(NODES)[0]
    assert node["metadata"]["labels"]["karpenter.sh/nodepool"] == "hopper"
    assert node["metadata"]["labels"]["nvidia.com/gpu.product"] == "H100"


def test_the_limit_of_a_pool_holds(lab: Lab) -> None:
    lab.add_pool(limit=20)
    lab.deploy(4)
    lab.after(600)
    assert len(lab.each(NODES)) == 2
    assert lab.counts() == (2, 2)


def test_empty_nodes_go_and_those_with_pods_stay(lab: Lab) -> None:
    lab.add_pool()
    lab.deploy(3)
    lab.after(600)
    lab.scale(1)
    lab.after(30)
    assert len(lab.each(NODES)) == 3
    lab.after(120)
    assert len(lab.each(NODES)) == 1
    assert lab.counts() == (1, 0)
    assert len(lab.each(lab.type(CLAIMS))) == 1


def test_without_capacity_a_claim_is_deleted_until_there_is_some(lab: Lab) -> None:
    lab.add_pool(**{"node-capacity": "1"})
    lab.deploy(2)
    lab.after(600)
    assert lab.counts() == (1, 1)
    assert [conditions(c)["Launched"] for c in lab.each(lab.type(CLAIMS))] == ["True"]
    told = lab.each(EVENTS, "default")
    # it is asked for again every three minutes
    assert [event["reason"] for event in told] == ["InsufficientCapacityError"] * 4
    assert len({event["involvedObject"]["uid"] for event in told}) == 4
    (pool,) = lab.each(lab.type(POOLS))
    annotations = {"lab.harmony.dev/node-capacity": "5"}
    body = {**pool, "metadata": {**pool["metadata"], "annotations": annotations}}
    write = Write("test", lab.cluster.now())
    lab.cluster.objects.replace(lab.type(POOLS), pool, body, write)
    lab.after(600)
    assert lab.counts() == (2, 0)
    assert all(conditions(c)["Launched"] == "True" for c in lab.each(lab.type(CLAIMS)))


def test_a_pool_that_is_deleted_takes_its_nodes(lab: Lab) -> None:
    lab.add_pool()
    lab.deploy(1)
    lab.after(600)
    (pool,) = lab.each(lab.type(POOLS))
    write = Write("test", lab.cluster.now())
    lab.cluster.objects.delete(lab.type(POOLS), pool, {}, write)
    lab.after(30)
    assert lab.each(NODES) == []


@pytest.mark.parametrize("form", ["yaml", "text"])
def test_node_groups_and_their_status(lab: Lab, form: str) -> None:
    group = '{"product": "H100", "gpus": 8, "min": 1, "max": 4, "capacity": 2}'
    data = {"gpu-a": group, "form": form}
    config_map = {"metadata": {"name": "lab-node-groups"}, "data": data}
    lab.create(lab.config_maps(), config_map, "kube-system")
    lab.deploy(3)
    lab.after(600)
    assert lab.counts() == (2, 1)
    found = lab.each(lab.config_maps(), "kube-system")
    (status,) = (c["data"]["status"] for c in found if "status" in c["data"])
    if form == "yaml":
        (one,) = yaml.safe_load(status)["nodeGroups"]
        assert (one["health"]["maxSize"], one["health"]["cloudProviderTarget"]) == (4, 2)
        assert one["scaleUp"]["status"] == "Backoff"
    else:
        assert "Name:        gpu-a" in status
        assert "cloudProviderTarget=2 (minSize=1, maxSize=4)" in status
        assert "ScaleUp:     Backoff" in status


def test_a_node_is_tainted_before_it_is_interrupted_and_its_pods_are_replaced(lab: Lab) -> None:
    lab.add_pool(**{"node-startup-median": "30s", "node-interruptions": "6"})
    lab.deploy(1)
    lab.after(120)
    (node,) = lab.each(NODES)
    (machines,) = lab.cluster.nodes._machines.values()
    goes_s = machines.all[0].goes_s
    lab.after(goes_s - 120.0 - lab.cluster.engine.now_s)
    (told,) = lab.each(NODES)
    assert told["spec"]["taints"] == [
        {"key": "aws-node-termination-handler/spot-itn", "value": "", "effect": "NoSchedule"}
    ]
    assert lab.counts() == (1, 0)
    lab.after(120.0)
    assert node["metadata"]["uid"] not in {each["metadata"]["uid"] for each in lab.each(NODES)}
    assert lab.counts() == (0, 1)
    lab.after(60.0)
    assert lab.counts() == (1, 0)
