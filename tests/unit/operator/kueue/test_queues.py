"""Kueue's objects as they are read, in both versions."""

from __future__ import annotations

from typing import Any

import pytest

from services.operator.cluster.placement import Taint, Toleration
from services.operator.kueue.queues import (
    ClusterQueue,
    Flavor,
    FlavorQuota,
    LocalQueue,
    to_cluster_queue,
    to_flavor,
    to_local_queue,
)

GPU = "nvidia.com/gpu"


def cluster_queue(status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """A ClusterQueue with 16 H100, of which it may borrow 8 more, and some CPUs."""
    gpus = {"name": GPU, "nominalQuota": "16", "borrowingLimit": 8, "lendingLimit": "4"}
    flavor = {"name": "h100", "resources": [{"name": "cpu", "nominalQuota": "9"}, gpus]}
    group = {"coveredResources": ["cpu", GPU], "flavors": [flavor]}
    found: dict[str, Any] = {"resourceGroups": [group]} | spec
    return {"metadata": {"name": "team-a"}, "spec": found, "status": status or {}}


def usage(total: str) -> list[dict[str, Any]]:
    return [{"name": "h100", "resources": [{"name": GPU, "total": total, "borrowed": "0"}]}]


@pytest.mark.parametrize("cohort", ["cohortName", "cohort"])
def test_quotas_on_accelerators_with_what_is_reserved(cohort: str) -> None:
    status = {"flavorsReservation": usage("6"), "flavorsUsage": usage("4")}
    found = to_cluster_queue(cluster_queue(status, **{cohort: "all"}))
    assert found == ClusterQueue("team-a", (FlavorQuota("h100", GPU, 16, 8, 4, 6),), "all")


def test_where_nothing_is_reserved_by_itself_use_counts() -> None:
    (quota,) = to_cluster_queue(cluster_queue({"flavorsUsage": usage("4")})).quotas
    assert quota.reserved == 4


def test_what_is_not_counted_or_cannot_be_read_is_not_known() -> None:
    resource = cluster_queue()
    resource["spec"]["resourceGroups"][0]["flavors"][0]["resources"][1]["nominalQuota"] = "a few"
    (quota,) = to_cluster_queue(resource).quotas
    assert (quota.nominal, quota.reserved) == (None, None)


@pytest.mark.parametrize(
    ("spec", "status", "problem"),
    [
        ({"stopPolicy": "Hold"}, {}, "its stopPolicy is Hold"),
        (
            {},
            {"conditions": [{"type": "Active", "status": "False", "message": "no flavor h100"}]},
            "no flavor h100",
        ),
        ({"stopPolicy": "None"}, {"conditions": [{"type": "Active", "status": "True"}]}, ""),
    ],
)
def test_a_queue_that_admits_nothing_says_why(
    spec: dict[str, Any], status: dict[str, Any], problem: str
) -> None:
    assert to_cluster_queue(cluster_queue(status, **spec)).problem == problem
    local = {"metadata": {"namespace": "serving", "name": "q"}, "spec": spec, "status": status}
    local["spec"] = spec | {"clusterQueue": "team-a"}
    assert to_local_queue(local) == LocalQueue(("serving", "q"), "team-a", problem)


def test_a_flavor_names_its_nodes() -> None:
    spec = {
        "nodeLabels": {"pool": "h100"},
        "nodeTaints": [
            {"key": "gpu", "effect": "NoSchedule"},
            {"key": "soft", "effect": "PreferNoSchedule"},
        ],
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
    }
    assert to_flavor({"metadata": {"name": "h100"}, "spec": spec}) == Flavor(
        "h100",
        {"pool": "h100"},
        (Taint("gpu", "", "NoSchedule"),),
        (Toleration("gpu", "", "", is_any_value=True),),
    )
    assert to_flavor({"metadata": {"name": "any"}}) == Flavor("any")
