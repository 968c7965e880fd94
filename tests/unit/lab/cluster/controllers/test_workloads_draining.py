"""Pods that a scaling in takes drain within their grace, or are killed at its end."""

from __future__ import annotations

import pytest

from services.lab.cluster.controllers.manifests import COST_ANNOTATION, DRAIN_ANNOTATION
from services.lab.cluster.storage.resources import DEPLOYMENTS, PODS, STATEFUL_SETS, Obj
from tests.unit.lab.cluster.running_cluster import RunningCluster, workload


def draining(cluster: RunningCluster, drain: str, grace_s: int = 30) -> Obj:
    """A deployment of two pods, of which one has been told to end just now; that one."""
    spec = workload(2)
    spec["template"]["metadata"]["annotations"] = {DRAIN_ANNOTATION: drain}
    spec["template"]["spec"]["terminationGracePeriodSeconds"] = grace_s
    cluster.create(DEPLOYMENTS, "x", spec)
    cluster.wait(10)
    cluster.change(DEPLOYMENTS, "x", "spec.replicas", 1)
    (pod,) = (p for p in cluster.pods().values() if "deletionTimestamp" in p["metadata"])
    return pod


def ends(cluster: RunningCluster, pod: Obj) -> list[Obj]:
    """States of a pod from now until it is gone."""
    found: list[Obj] = []

    def follow(rtype: object, old: Obj | None, new: Obj | None) -> None:
        if rtype is PODS and new is not None and new["metadata"]["name"] == pod["metadata"]["name"]:
            found.append(new)

    cluster.objects.listeners.append(follow)
    cluster.wait(60)
    return found


@pytest.mark.parametrize(
    ("drain", "code", "reason", "phase"),
    [("20s", 0, "Completed", "Succeeded"), ("90s", 137, "Error", "Failed")],
)
def test_the_last_state_of_a_pod_tells_how_it_ended(
    drain: str, code: int, reason: str, phase: str
) -> None:
    cluster = RunningCluster()
    pod = draining(cluster, drain)
    assert pod["metadata"]["deletionGracePeriodSeconds"] == 30
    assert cluster.get(DEPLOYMENTS, "x")["status"]["replicas"] == 1
    (last,) = ends(cluster, pod)
    assert last["status"]["phase"] == phase
    (container,) = last["status"]["containerStatuses"]
    ended = container["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (code, reason)
    is_at_its_end = ended["finishedAt"] == pod["metadata"]["deletionTimestamp"]
    assert is_at_its_end == (code == 137)
    assert len(cluster.pods()) == 1


def test_it_holds_its_gpus_until_it_is_gone() -> None:
    cluster = RunningCluster()
    draining(cluster, "20s")
    cluster.change(DEPLOYMENTS, "x", "spec.replicas", 2)
    assert len(cluster.pods()) == 3, "a new pod comes; the one that ends does not come back"
    cluster.wait(40)
    assert len(cluster.pods()) == 2


def test_a_second_deletion_changes_nothing_and_one_without_grace_ends_it() -> None:
    cluster = RunningCluster()
    name = draining(cluster, "20s")["metadata"]["name"]
    cluster.delete(PODS, name)
    assert name in cluster.pods()
    write = cluster._write()
    cluster.objects.delete(PODS, cluster.get(PODS, name), {"gracePeriodSeconds": 0}, write)
    assert name not in cluster.pods()
    cluster.wait(60)
    assert len(cluster.pods()) == 1


def test_what_is_ending_goes_with_its_deployment_and_takes_no_notes() -> None:
    cluster = RunningCluster()
    name = draining(cluster, "20s")["metadata"]["name"]
    cluster.change(PODS, name, "metadata.annotations", {COST_ANNOTATION: "-9"})
    cluster.delete(DEPLOYMENTS, "x")
    cluster.wait(60)
    assert cluster.pods() == {}


def test_one_pod_may_be_busier_than_its_template_says() -> None:
    cluster = RunningCluster()
    cluster.create(DEPLOYMENTS, "x", workload(1))
    cluster.wait(10)
    (name,) = cluster.pods()
    cluster.change(PODS, name, "metadata.annotations", {DRAIN_ANNOTATION: "soon"})
    cluster.change(PODS, name, "metadata.annotations", {DRAIN_ANNOTATION: "45s"})
    cluster.change(DEPLOYMENTS, "x", "spec.replicas", 0)
    assert list(cluster.pods()) == [name]
    cluster.wait(31)
    assert cluster.pods() == {}


def test_pods_of_a_stateful_set_end_at_once() -> None:
    cluster = RunningCluster()
    spec = workload(2)
    spec["template"]["metadata"]["annotations"] = {DRAIN_ANNOTATION: "20s"}
    cluster.create(STATEFUL_SETS, "x", spec)
    cluster.wait(10)
    cluster.change(STATEFUL_SETS, "x", "spec.replicas", 1)
    assert list(cluster.pods()) == ["x-0"]
