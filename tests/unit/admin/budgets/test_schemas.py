"""GPU budgets as a client reads them."""

from __future__ import annotations

from typing import Any

from services.admin.budgets.schemas import BudgetView, GivenUpView, HeadroomView, SupplyView
from tests.unit.admin.shapes import documented, nullable, optional, through

AT = "2026-01-05T12:00:00Z"
GIVEN_UP: dict[str, Any] = {
    "decision_id": 7,
    "decided_at": AT,
    "namespace": "prod",
    "workload": "llama",
    "sla_class": "silver",
    "priority": 100,
    "wanted_replicas": 17,
    "granted_replicas": 13,
    "gpus": 4,
    "reason": "scale_up_risk",
    "price_usd_per_gpu_hour": 1.5,
}
HEADROOM: dict[str, Any] = {
    "gpus": 16,
    "free_gpus": 4,
    "chunk_gpus": 1,
    "need_gpus": 9,
    "is_capped": False,
    "usd_per_hour": 40.0,
    "risk": 0.01,
    "risk_before": 0.213,
    "risk_after": 0.007,
    "dependence": 0.5,
    "n_dependence_steps": 0,
    "n_workloads": 2,
    "n_unknown": 1,
    "beyond_ratio": 0.125,
    "advised_at": AT,
    "is_stale": False,
}
SUPPLY: dict[str, Any] = {
    "mode": "provisioned",
    "ceiling": 96,
    "node_gpus": 32,
    "asked_gpus": 40,
    "reason": "Detected",
    "message": "NodePool/hopper may have 96 GPUs",
    "node_startup_s": 240.0,
    "n_startups": 12,
    "refusal": "",
    "retry_at": AT,
    "headroom": HEADROOM,
}
BUDGET: dict[str, Any] = {
    "cluster": "default",
    "gpu_type": "H100",
    "gpus": 64,
    "cell_gpus": None,
    "source": "GPUBudget/hopper",
    "reason": "",
    "observed_at": AT,
    "is_stale": False,
    "n_workloads": 3,
    "n_unmeasured": 1,
    "used_gpus": 60,
    "free_gpus": 4,
    "price_usd_per_gpu_hour": 0.0,
    "is_feasible": True,
    "decided_at": AT,
    "n_cut": 1,
    "supply": SUPPLY,
    "gave_up": [GIVEN_UP],
}


def test_a_budget_comes_through_whole_with_who_gave_up_what() -> None:
    assert through(BudgetView, BUDGET) == BUDGET
    assert through(BudgetView, BUDGET | {"free_gpus": -2, "gave_up": []})["free_gpus"] == -2
    assert optional(BudgetView, BUDGET) == set()


def test_what_is_not_known_of_a_budget_is_null() -> None:
    assert nullable(BudgetView, BUDGET) == {
        "gpus",
        "cell_gpus",
        "used_gpus",
        "free_gpus",
        "price_usd_per_gpu_hour",
        "is_feasible",
        "decided_at",
        "supply",
    }


def test_of_a_supply_the_ceiling_and_the_next_try_may_be_null() -> None:
    assert through(SupplyView, SUPPLY) == SUPPLY
    assert optional(SupplyView, SUPPLY) == set()
    assert nullable(SupplyView, SUPPLY) == {"ceiling", "retry_at", "headroom"}
    assert documented(SupplyView).items() <= SUPPLY.items()


def test_headroom_is_known_whole() -> None:
    assert through(HeadroomView, HEADROOM) == HEADROOM
    assert optional(HeadroomView, HEADROOM) == nullable(HeadroomView, HEADROOM) == set()
    assert documented(HeadroomView).items() <= HEADROOM.items()


def test_of_what_was_given_up_only_the_price_may_be_unknown() -> None:
    assert through(GivenUpView, GIVEN_UP) == GIVEN_UP
    assert optional(GivenUpView, GIVEN_UP) == set()
    assert nullable(GivenUpView, GIVEN_UP) == {"price_usd_per_gpu_hour"}


def test_the_documented_budget_adds_up() -> None:
    assert documented(GivenUpView).items() <= GIVEN_UP.items()
    assert documented(BudgetView).items() <= BUDGET.items()
    example = documented(GivenUpView)
    assert example["wanted_replicas"] - example["granted_replicas"] == example["gpus"]
