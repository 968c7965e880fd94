"""Statuses of CapacityBuffers, as Karpenter and the Cluster Autoscaler write them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from services.lab.cluster.nodes.autoscaler import GROUPS_NAME, GROUPS_NAMESPACE
from services.lab.cluster.nodes.definitions import POOLS
from services.lab.cluster.storage.objects import Write
from services.lab.cluster.storage.resources import NAMESPACES, NODES
from tests.unit.lab.cluster.nodes.test_buffers import TEMPLATES, BufferLab

GROUP = {"product": "H100", "gpus": 8, "max": 4, "startupMedian": "30s"}


def told(lab: BufferLab) -> dict[str, tuple[str, str]]:
    """Status and reason of each condition."""
    conditions = lab.buffer()["status"]["conditions"]
    return {each["type"]: (each["status"], each["reason"]) for each in conditions}


def message(lab: BufferLab, kind: str) -> str:
    conditions = lab.buffer()["status"]["conditions"]
    return next(str(each["message"]) for each in conditions if each["type"] == kind)


@pytest.fixture
def karpenter() -> BufferLab:
    return BufferLab("v1beta1")


@pytest.fixture
def groups() -> BufferLab:
    """A cluster with node groups in place of pools."""
    lab = BufferLab("v1beta1")
    (pool,) = lab.each(lab.type(POOLS))
    lab.cluster.objects.delete(lab.type(POOLS), pool, {}, Write("test", lab.cluster.now()))
    if lab.cluster.store.get(NAMESPACES, "", GROUPS_NAMESPACE) is None:
        lab.create(NAMESPACES, {"metadata": {"name": GROUPS_NAMESPACE}})
    body: dict[str, Any] = {
        "metadata": {"name": GROUPS_NAME},
        "data": {"h100": orjson.dumps(GROUP).decode()},
    }
    lab.create(lab.config_maps(), body, GROUPS_NAMESPACE)
    return lab


def remove_template(lab: BufferLab) -> None:
    (template,) = lab.each(TEMPLATES)
    lab.cluster.objects.delete(TEMPLATES, template, {}, Write("test", lab.cluster.now()))


def test_karpenter_has_a_place_for_a_pod_once_a_node_is_asked_for(karpenter: BufferLab) -> None:
    karpenter.hold(2)
    karpenter.after(10)
    assert told(karpenter) == {
        "ReadyForProvisioning": ("True", "Resolved"),
        "Provisioning": ("False", "RequiresNewCapacity"),
    }
    expected = "2/2 virtual pods required new capacity, 0 failed"
    assert message(karpenter, "Provisioning") == expected
    karpenter.after(10)
    assert karpenter.each(NODES) == []
    assert told(karpenter)["Provisioning"] == ("True", "FitsExistingCapacity")
    assert message(karpenter, "Provisioning") == "All 2 virtual pods fit on existing capacity"


def test_karpenter_says_how_many_pods_the_limits_leave_without_a_node(karpenter: BufferLab) -> None:
    karpenter.hold(9)
    karpenter.after(120)
    assert told(karpenter)["Provisioning"] == ("False", "RequiresNewCapacity")
    expected = "0/9 virtual pods required new capacity, 5 failed"
    assert message(karpenter, "Provisioning") == expected


def test_karpenter_says_that_a_buffer_is_empty_or_has_no_template(karpenter: BufferLab) -> None:
    karpenter.hold(0)
    karpenter.after(10)
    assert told(karpenter)["Provisioning"] == ("False", "BufferEmpty")
    remove_template(karpenter)
    karpenter.after(10)
    assert told(karpenter) == {
        "ReadyForProvisioning": ("False", "PodTemplateNotFound"),
        "Provisioning": ("False", "NotReadyForProvisioning"),
    }
    assert karpenter.buffer()["status"]["replicas"] == 0, "it leaves what it had found"


def test_the_cluster_autoscaler_says_that_it_counts_the_pods_and_no_more(groups: BufferLab) -> None:
    groups.hold(9)
    groups.after(10)
    expected = {
        "ReadyForProvisioning": ("True", "AttributesSetSuccessfully"),
        "LimitedByQuotas": ("False", "ResourceQuotasAllocated"),
        "Provisioning": ("True", "FakePodsInjected"),
    }
    assert told(groups) == expected
    groups.after(300)
    assert len(groups.each(NODES)) == 4
    assert told(groups) == expected, "though five pods have no node"


def test_the_cluster_autoscaler_says_that_a_buffer_is_empty_or_has_no_template(
    groups: BufferLab,
) -> None:
    groups.hold(0)
    groups.after(10)
    assert told(groups)["Provisioning"] == ("False", "BufferIsEmpty")
    remove_template(groups)
    groups.after(10)
    assert told(groups) == {
        "ReadyForProvisioning": ("False", "error"),
        "Provisioning": ("False", "NotReadyForProvisioning"),
    }
    assert "replicas" not in groups.buffer()["status"]
