"""Defaults and checks of nodes, workloads and pods."""

from __future__ import annotations

from typing import Any

import pytest

from services.lab.cluster.admission.admissions import (
    BuiltInAdmission,
    NodeAdmission,
    PodAdmission,
    WorkloadAdmission,
)
from services.lab.cluster.storage.failures import ApiFailure
from services.lab.cluster.storage.objects import Write
from services.lab.cluster.storage.resources import (
    DEPLOYMENTS,
    NODES,
    PODS,
    REPLICA_SETS,
    STATEFUL_SETS,
    Obj,
    ResourceType,
)
from tests.unit.lab.cluster.running_cluster import workload

WRITE = Write("us", "2026-01-05T00:00:00Z")


def named(**parts: Any) -> Obj:
    return {"metadata": {"name": "x"}, **parts}


def admitted(rtype: ResourceType, spec: Obj, old: Obj | None = None) -> Obj:
    was = None if old is None else named(spec=old)
    found: Obj = WorkloadAdmission().admit(rtype, named(spec=spec), was, WRITE)["spec"]
    return found


def flaws(spec: Obj, old: Obj | None = None) -> set[str]:
    """Fields for which a Deployment is refused."""
    with pytest.raises(ApiFailure) as failure:
        admitted(DEPLOYMENTS, spec, old)
    assert failure.value.code == 422
    return {cause["field"] for cause in failure.value.details["causes"]}


def test_other_built_in_kinds_pass_as_they_are() -> None:
    obj = named(data={"a": "1"})
    assert BuiltInAdmission().admit(PODS, obj, None, WRITE) == obj


def test_containers_are_told_apart_by_name_and_unknown_lists_by_nothing() -> None:
    keys = BuiltInAdmission().list_keys()
    assert keys(("f:spec", "f:containers")) == ("name",)
    assert keys(("f:spec", "f:args")) is None


@pytest.mark.parametrize("gpus", ["8", 8, "0"])
def test_a_node_has_a_whole_number_of_gpus_and_a_specification(gpus: str | int) -> None:
    node = named(status={"allocatable": {"nvidia.com/gpu": gpus}})
    assert NodeAdmission().admit(NODES, node, None, WRITE) == {**node, "spec": {}}


@pytest.mark.parametrize("gpus", ["1.5", "-1", "many", ""])
def test_a_node_with_part_of_a_gpu_is_refused(gpus: str) -> None:
    node = named(status={"allocatable": {"nvidia.com/gpu": gpus}})
    with pytest.raises(ApiFailure) as failure:
        NodeAdmission().admit(NODES, node, None, WRITE)
    (cause,) = failure.value.details["causes"]
    assert cause["field"] == "status.allocatable[nvidia.com/gpu]"


def test_a_node_keeps_its_specification_and_may_say_nothing_of_gpus() -> None:
    node = named(spec={"unschedulable": True})
    assert NodeAdmission().admit(NODES, node, None, WRITE) == node


def test_a_deployment_gets_the_defaults_of_kubernetes() -> None:
    spec = workload(1)
    del spec["replicas"]
    found = admitted(DEPLOYMENTS, spec)
    assert (found["replicas"], found["revisionHistoryLimit"]) == (1, 10)
    assert found["progressDeadlineSeconds"] == 600
    assert found["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"},
    }
    pod = found["template"]["spec"]
    assert (pod["restartPolicy"], pod["terminationGracePeriodSeconds"]) == ("Always", 30)
    assert pod["containers"][0]["imagePullPolicy"] == "IfNotPresent"
    assert found["template"]["metadata"] == spec["template"]["metadata"]


def test_a_stateful_set_and_a_replica_set_get_defaults_of_their_own() -> None:
    found = admitted(STATEFUL_SETS, {**workload(1), "replicas": None})
    assert (found["replicas"], found["podManagementPolicy"]) == (1, "OrderedReady")
    assert found["updateStrategy"]["rollingUpdate"] == {"partition": 0}
    assert "strategy" not in found
    found = admitted(REPLICA_SETS, {**workload(1), "replicas": None})
    assert set(found) == {"replicas", "selector", "template"}
    assert found["replicas"] == 1


def test_what_is_given_stays_and_defaults_change_nothing_twice() -> None:
    spec = {**workload(0, restartPolicy="Never"), "revisionHistoryLimit": 2}
    spec["template"]["spec"]["containers"][0]["imagePullPolicy"] = "Always"
    found = admitted(DEPLOYMENTS, spec)
    assert (found["replicas"], found["revisionHistoryLimit"]) == (0, 2)
    assert found["template"]["spec"]["restartPolicy"] == "Never"
    assert found["template"]["spec"]["containers"][0]["imagePullPolicy"] == "Always"
    assert admitted(DEPLOYMENTS, found, found) == found


def test_a_workload_needs_a_selector_and_containers() -> None:
    assert flaws({}) == {"spec.selector", "spec.template.spec.containers"}


def test_a_selector_matches_its_template_and_stays() -> None:
    spec = workload(1)
    other = {**spec, "selector": {"matchLabels": {"app": "other"}}}
    assert flaws(other) == {"spec.template.metadata.labels"}
    assert flaws(spec, other) == {"spec.selector"}


@pytest.mark.parametrize("replicas", [-1, "two", 1.5])
def test_replicas_are_a_count(replicas: Any) -> None:
    assert flaws({**workload(1), "replicas": replicas}) == {"spec.replicas"}


def test_what_the_simulation_cannot_read_of_a_template_is_refused() -> None:
    spec = workload(1)
    spec["template"]["metadata"]["annotations"] = {"lab.harmony.dev/startup-median": "soon"}
    assert flaws(spec) == {"spec.template"}


def test_a_pod_waits_when_it_is_new_and_keeps_its_status_after() -> None:
    new = PodAdmission().admit(PODS, named(spec={}), None, WRITE)
    assert new == named(spec={}, status={"phase": "Pending", "qosClass": "BestEffort"})
    running = named(status={"phase": "Running"})
    assert PodAdmission().admit(PODS, running, new, WRITE) == running


def test_a_node_of_several_resources_is_refused_by_name() -> None:
    node = named(status={"allocatable": {"nvidia.com/gpu": "4", "nvidia.com/mig-1g.5gb": "7"}})
    with pytest.raises(ApiFailure) as failure:
        NodeAdmission().admit(NODES, node, None, WRITE)
    (cause,) = failure.value.details["causes"]
    assert cause["field"] == "status.allocatable"
    assert "nvidia.com/gpu and nvidia.com/mig-1g.5gb" in cause["message"]
