"""Kueue as far as it can be read; what cannot costs only what needs it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from services.lab.cluster.controllers.kueue_definitions import GROUP
from services.operator.kube.queues import read_queues
from services.operator.resource.rights import FURTHER_RIGHTS, RIGHTS
from tests.integration.operator.conftest import Bench
from tests.integration.operator.reconcile.queued import (
    add_queue,
    deploy_queued,
    drop_kueue,
    serve_kueue,
)
from tests.integration.operator.resource.test_rights import act_as, without

pytestmark = pytest.mark.integration

QUEUES = {"localqueues", "clusterqueues", "resourceflavors"}


@pytest.fixture
def kueue(bench: Bench) -> Iterator[Bench]:
    """A cluster with Kueue and a queue of four H100."""
    serve_kueue(bench)
    add_queue(bench.lab, 4)
    yield bench
    drop_kueue(bench.lab)


def test_queues_quotas_and_flavors_are_read(kueue: Bench) -> None:
    found = read_queues(kueue.deps.kube)
    assert (found.is_on, found.is_served, found.problem) == (True, True, "")
    assert found.local[kueue.lab.namespace, "serving"].cluster_queue == "team-a"
    (quota,) = found.cluster["team-a"].quotas
    assert (quota.flavor, quota.nominal, quota.reserved) == ("h100", 4, 0)
    assert found.flavors["h100"].labels == {"nvidia.com/gpu.product": "H100"}


def test_without_the_rights_a_condition_says_what_is_lost(kueue: Bench) -> None:
    act_as(kueue, RIGHTS)
    deploy_queued(kueue.lab, "llama", 2)
    kueue.lab.autoscale("llama")
    kueue.reconcile()
    found = kueue.lab.condition("llama", "RoomUnknown")
    assert (found["status"], found["reason"]) == ("True", "QuotaUnreadable")
    assert "grant the operator list and watch on localqueues, clusterqueues" in found["message"]
    kueue.decide("llama", 4)
    kueue.reconcile()
    assert kueue.lab.replicas("llama") == 4


def test_each_kind_needs_its_right(kueue: Bench) -> None:
    for resource in sorted(QUEUES):
        assert any(resource in right.resources for right in FURTHER_RIGHTS)
    act_as(kueue, without("clusterqueues", "list", "watch"))
    assert "clusterqueues" in read_queues(kueue.deps.kube).problem


def test_off_nothing_is_asked_for_and_a_condition_says_so(kueue: Bench) -> None:
    kueue.deps.settings.operator_kueue = False
    deploy_queued(kueue.lab, "llama", 2)
    kueue.lab.autoscale("llama")
    kueue.lab.http.delete("/lab/requests")
    kueue.reconcile()
    found = kueue.lab.condition("llama", "RoomUnknown")
    assert (found["status"], found["reason"]) == ("True", "QueuesNotRead")
    assert "HARMONY_OPERATOR_KUEUE is false" in found["message"]
    asked = kueue.lab.http.get("/lab/requests").json()["requests"]
    assert not QUEUES & {each["resource"] for each in asked}


def test_where_no_target_is_queued_nothing_is_asked_for(kueue: Bench) -> None:
    kueue.lab.deploy("llama")
    kueue.lab.autoscale("llama")
    kueue.lab.http.delete("/lab/requests")
    kueue.reconcile()
    assert kueue.lab.condition("llama", "RoomUnknown")["status"] == "False"
    asked = kueue.lab.http.get("/lab/requests").json()["requests"]
    assert not [each for each in asked if each["group"] == GROUP]


def test_an_object_that_is_odd_leaves_the_quota_unknown(
    kueue: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = [{"coveredResources": ["cpu"], "flavors": [{"resources": [{"name": 1}]}]}]
    odd = {"metadata": {"name": "odd"}, "spec": {"resourceGroups": groups}}
    monkeypatch.setattr(kueue.deps.kube, "list_kind", lambda served: [odd])
    found = read_queues(kueue.deps.kube)
    assert "has fields of other types" in found.problem
