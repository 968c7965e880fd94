"""Room that is kept for pods that are not there yet."""

from __future__ import annotations

from typing import Any

import pytest

from services.lab.cluster.nodes.buffers import BufferRoom, find_room
from services.lab.cluster.nodes.definitions import (
    BUFFER_GROUP,
    BUFFERS,
    buffer_definition,
)
from services.lab.cluster.nodes.machines import WaitingPod
from services.lab.cluster.storage.objects import Write
from services.lab.cluster.storage.resources import (
    BUILT_IN,
    CUSTOM_RESOURCE_DEFINITIONS,
    NODES,
    ResourceType,
)
from services.simulator.engine.engine import NodeSpec
from services.simulator.engine.needs import NO_NEEDS
from tests.unit.lab.cluster.nodes.test_autoscaler import Lab, conditions

TEMPLATES = next(rtype for rtype in BUILT_IN if rtype.plural == "podtemplates")


class BufferLab(Lab):
    """A cluster with a pool of H100 machines and buffers in one version of their group."""

    def __init__(self, version: str) -> None:
        super().__init__()
        self.version = version
        self.create(CUSTOM_RESOURCE_DEFINITIONS, buffer_definition(version))
        self.add_pool(**{"node-startup-median": "30s"})

    @property
    def buffers(self) -> ResourceType:
        found = self.cluster.registry.find(BUFFER_GROUP, self.version, BUFFERS)
        assert found is not None
        return found

    def hold(self, replicas: int, template: str = "chunk", **spec: Any) -> None:
        container = {"name": "c", "resources": {"limits": {"nvidia.com/gpu": "8"}}}
        pod = {"spec": {"nodeSelector": {"nvidia.com/gpu.product": "H100"},
                        "containers": [container]}}  # fmt: skip
        if self.cluster.store.get(TEMPLATES, "serving", "chunk") is None:
            self.create(TEMPLATES, {"metadata": {"name": "chunk"}, "template": pod}, "serving")
        given = {"podTemplateRef": {"name": template}, "replicas": replicas} | spec
        self.create(self.buffers, {"metadata": {"name": "ready"}, "spec": given}, "serving")

    def buffer(self) -> dict[str, Any]:
        (found,) = self.each(self.buffers)
        return found

    def resize(self, replicas: int) -> None:
        old = self.buffer()
        body = {**old, "spec": {**old["spec"], "replicas": replicas}}
        self.cluster.objects.replace(self.buffers, old, body, Write("test", self.cluster.now()))


@pytest.fixture(params=["v1beta1", "v1alpha1"])
def lab(request: pytest.FixtureRequest) -> BufferLab:
    return BufferLab(request.param)


def test_nodes_come_for_a_buffer_and_stay_while_they_are_held(lab: BufferLab) -> None:
    lab.hold(2)
    lab.after(15)
    assert conditions(lab.buffer()) == {"ReadyForProvisioning": "True", "Provisioning": "False"}
    lab.after(45)
    assert len(lab.each(NODES)) == 2
    status = lab.buffer()["status"]
    assert (status["replicas"], status["podTemplateRef"]) == (2, {"name": "chunk"})
    assert status["podTemplateGeneration"] == 1
    assert conditions(lab.buffer()) == {"ReadyForProvisioning": "True", "Provisioning": "True"}
    lab.after(600)
    assert len(lab.each(NODES)) == 2
    lab.resize(1)
    lab.after(120)
    assert len(lab.each(NODES)) == 1


def test_a_pod_takes_the_room_and_the_buffer_asks_for_more(lab: BufferLab) -> None:
    lab.hold(1)
    lab.after(60)
    lab.deploy(1)
    lab.after(1)
    assert lab.counts()[1] == 0  # it waits for no node
    lab.after(60)
    assert len(lab.each(NODES)) == 2


def test_no_more_nodes_than_the_pool_may_have(lab: BufferLab) -> None:
    lab.hold(9)
    lab.after(300)
    assert len(lab.each(NODES)) == 4
    assert conditions(lab.buffer())["Provisioning"] == "False"


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"template": "other"}, "PodTemplate/other was not found"),
        ({"provisioningStrategy": "buffer.example.com/standby"}, "strategy is not one of"),
    ],
)
def test_a_buffer_that_cannot_be_kept_says_so(
    lab: BufferLab, spec: dict[str, Any], why: str
) -> None:
    lab.hold(1, **spec)
    lab.after(60)
    assert lab.each(NODES) == []
    condition, provisioning = lab.buffer()["status"]["conditions"]
    assert (condition["type"], condition["status"]) == ("ReadyForProvisioning", "False")
    assert why in condition["message"]
    assert (provisioning["type"], provisioning["status"]) == ("Provisioning", "False")
    assert provisioning["reason"] == "NotReadyForProvisioning"


def test_room_is_found_once() -> None:
    rooms = [BufferRoom(NodeSpec("a", "H100", 8), 4), BufferRoom(NodeSpec("b", "L4", 8), 8)]
    pods = [WaitingPod("H100", 2, NO_NEEDS)] * 3 + [WaitingPod("any", 2, NO_NEEDS)]
    used, left = find_room(pods[:3], rooms)
    assert used == {"a"}
    assert left == pods[2:3]
