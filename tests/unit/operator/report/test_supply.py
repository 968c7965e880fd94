"""Conditions and status of a GPUBudget's supply."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from services.operator.plan.provisioning import Provisioning, learn_startup
from services.operator.plan.supply import GpusInUse, Resolved, TypeSupply
from services.operator.plan.supply_refusals import SupplySource
from services.operator.report.supply import supply_findings, supply_status
from tests.unit.operator.examples import NOW


def supply(ceiling: int | None, **given: Any) -> TypeSupply:
    resolved = Resolved(ceiling, "Detected", "NodePool/hopper may have 64 GPUs")
    use = GpusInUse(24, 8, 32)
    return TypeSupply("H100", resolved, use, given.pop("state", Provisioning()),
                      learn_startup(120.0), **given)  # fmt: skip


def test_a_fixed_supply_says_why() -> None:
    (found,) = supply_findings(supply(None), 128)
    assert (found.type, found.status, found.reason) == ("Provisioned", "False", "Detected")
    assert supply_status(supply(None)) == {"mode": "fixed", "nodeGpus": 32, "askedGpus": 32}


def test_a_provisioned_one_says_up_to_where_and_that_nodes_come() -> None:
    provisioned, arrive = supply_findings(supply(64), 64)
    assert (provisioned.status, provisioned.message) == ("True", "NodePool/hopper may have 64 GPUs")
    assert (arrive.status, arrive.reason) == ("True", "NoRefusal")
    assert supply_status(supply(64)) == {
        "mode": "provisioned",
        "nodeGpus": 32,
        "askedGpus": 32,
        "ceiling": 64,
        "nodeStartup": "2m",
        "nodeStartups": 0,
    }


def test_a_budget_beyond_the_ceiling_is_pointed_out() -> None:
    provisioned, _ = supply_findings(supply(64), 128)
    assert "the budget allows 128, of which 64 can be there: the lower one holds" in (
        provisioned.message
    )


def test_a_refusal_says_why_and_when_it_is_tried_again() -> None:
    state = Provisioning(2, NOW, NOW + timedelta(minutes=4), why="no capacity")
    refused = supply(64, state=state, may_ask=False)
    _, arrive = supply_findings(refused, 64)
    assert (arrive.status, arrive.reason) == ("False", "ProvisioningRefused")
    assert arrive.message.startswith("no capacity; the next increase may try again at ")
    assert arrive.message.endswith("refused 2 times")
    assert supply_status(refused)["retryTime"] == f"{NOW + timedelta(minutes=4):%Y-%m-%dT%H:%M:%SZ}"


def test_a_pool_that_refuses_beside_one_that_does_not_is_named() -> None:
    state = Provisioning(1, NOW, NOW + timedelta(minutes=4), why="no spot capacity")
    sources = (
        SupplySource("NodePool/spot", 32, state, may_ask=False),
        SupplySource("NodePool/on-demand", 32, Provisioning()),
    )
    _, arrive = supply_findings(supply(64, sources=sources), 64)
    assert (arrive.status, arrive.reason) == ("True", "PartlyRefused")
    assert arrive.message == (
        "NodePool/spot: no spot capacity; no new node of it counts before "
        f"{NOW + timedelta(minutes=4):%Y-%m-%dT%H:%M:%SZ}; NodePool/on-demand still may add nodes"
    )
