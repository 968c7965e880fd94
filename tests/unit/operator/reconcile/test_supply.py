"""What several GPUBudgets of a type say of its supply."""

from __future__ import annotations

from typing import Any

from services.operator.cluster.free_gpus import FreeGpus
from services.operator.cluster.node_groups import GroupOfType
from services.operator.cluster.ownership import PodIndex
from services.operator.reconcile.find_targets import Targets
from services.operator.reconcile.observe import View
from services.operator.reconcile.supply import stated_supplies


def budget(name: str, groups: str) -> dict[str, Any]:
    annotations = {"scaling.harmony.dev/node-groups": groups}
    spec = {"gpuType": "H100", "gpus": 64}
    return {"metadata": {"name": name, "annotations": annotations}, "spec": spec}


def test_a_group_that_two_budgets_name_counts_once_by_the_smaller_size() -> None:
    budgets = [budget("one", "a=8,b=8"), budget("two", "a=4,b=8,c=2")]
    view = View([], [], Targets(), PodIndex(), set(), FreeGpus(()), {}, budgets=budgets)
    found = stated_supplies(view)["H100"].groups
    assert set(found) == {GroupOfType("a", 4), GroupOfType("b", 8), GroupOfType("c", 2)}
    assert len(found) == 3
