"""Evictions under a PodDisruptionBudget."""

from __future__ import annotations

from typing import Any

import pytest

from services.lab.cluster.controllers.disruption import check_budgets
from services.lab.cluster.storage.failures import ApiFailure
from services.lab.cluster.storage.resources import POD_DISRUPTION_BUDGETS, PODS, Obj
from services.lab.cluster.storage.store import Store


def pod(name: str, *, is_ready: bool = True, app: str = "a") -> Obj:
    conditions = [{"type": "Ready", "status": "True" if is_ready else "False"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": "team", "name": name, "labels": {"app": app}},
        "status": {"conditions": conditions},
    }


def store(budget: dict[str, Any], *pods: Obj) -> Store:
    found = Store()
    for each in pods:
        found.put(PODS, each)
    spec = {"selector": {"matchLabels": {"app": "a"}}} | budget
    head = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget"}
    found.put(
        POD_DISRUPTION_BUDGETS,
        head | {"metadata": {"namespace": "team", "name": "b"}, "spec": spec},
    )
    return found


@pytest.mark.parametrize(
    ("budget", "n_pods", "is_allowed"),
    [
        ({"minAvailable": 2}, 3, True),
        ({"minAvailable": 3}, 3, False),
        ({"minAvailable": "50%"}, 3, True),
        ({"minAvailable": "67%"}, 3, False),
        ({"maxUnavailable": 1}, 3, True),
        ({"maxUnavailable": 0}, 3, False),
        ({}, 1, False),
    ],
)
def test_a_budget_keeps_so_many_pods(budget: dict[str, Any], n_pods: int, is_allowed: bool) -> None:
    pods = [pod(f"p{i}") for i in range(n_pods)]
    if is_allowed:
        check_budgets(store(budget, *pods), pods[0])
        return
    with pytest.raises(ApiFailure) as failure:
        check_budgets(store(budget, *pods), pods[0])
    assert failure.value.code == 429
    assert "The disruption budget b needs" in failure.value.message


def test_pods_that_do_not_serve_count_against_the_budget_but_may_go() -> None:
    broken = pod("broken", is_ready=False)
    pods = store({"minAvailable": 2}, pod("p0"), pod("p1"), broken)
    check_budgets(pods, broken)
    with pytest.raises(ApiFailure):
        check_budgets(pods, pod("p0"))


def test_pods_of_others_are_free() -> None:
    check_budgets(store({"minAvailable": 9}, pod("p0")), pod("other", app="b"))
