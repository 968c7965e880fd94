"""GPUBudgets as they are read."""

from __future__ import annotations

from typing import Any

from services.operator.reconcile.budgets import to_budget, to_rows


def listed(supply: dict[str, Any], **annotations: str) -> dict[str, Any]:
    named = {f"scaling.harmony.dev/{name}": value for name, value in annotations.items()}
    spec = {"gpuType": "H100", "gpus": 64, "supply": supply}
    return {"metadata": {"name": "hopper", "annotations": named}, "spec": spec}


def test_a_ceiling_holds_although_the_annotation_beside_it_cannot_be_read() -> None:
    found = to_budget(listed({"ceiling": 40, "nodeStartup": "3m"}, **{"node-groups": "a"}))
    assert (found.gpus, found.problem) == (64, "")
    assert (found.supply.ceiling, found.supply.startup_s) == (40, 180.0)
    assert "'a' must be NAME=GPUS" in found.supply.problem


def test_a_field_of_the_supply_that_is_not_known_is_named() -> None:
    """Nothing is added under a budget that cannot be read, whatever its ceiling is."""
    found = to_budget(listed({"ceiling": 40, "price": "2.50"}))
    assert found.gpus is None
    assert found.problem == found.supply.problem
    assert found.problem == (
        "GPUBudget/hopper: supply: price='2.50' is no field of it; its fields are ceiling, "
        "headroom, mode, nodeStartup, spot"
    )


def test_a_budget_of_every_type_is_none() -> None:
    """It was one for each type, of as many GPUs as it names, and its status said `Unused`."""
    found = to_budget({"metadata": {"name": "all"}, "spec": {"gpuType": "*", "gpus": 16}})
    assert [row.gpus for row in to_rows([found])] == [None]
    assert found.problem == (
        "GPUBudget/all: gpuType: '*' must name one type as GPUAutoscalers do, without *; make a "
        "GPUBudget for each type"
    )
