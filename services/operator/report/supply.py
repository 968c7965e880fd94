"""How the status of a `GPUBudget` shows where its GPUs come from, pure."""

from __future__ import annotations

from typing import Any

from services.operator.plan.supply import TypeSupply
from services.operator.report.facts import FALSE, TRUE, Finding
from services.operator.report.headroom import headroom_status
from services.operator.report.status import stamp
from services.operator.resource.quantities import format_duration


def supply_findings(supply: TypeSupply, budget_gpus: int | None) -> list[Finding]:
    """Conditions `Provisioned`, and where it is `NodesArrive`.

    Args:
        supply: Of the budget's type.
        budget_gpus: What the budget allows; None: it cannot be read.
    """
    resolved, state = supply.resolved, supply.state
    if resolved.ceiling is None:
        return [Finding("Provisioned", FALSE, resolved.reason, resolved.message)]
    message = resolved.message
    if budget_gpus is not None and budget_gpus > resolved.ceiling:
        message += (
            f"; the budget allows {budget_gpus}, of which {resolved.ceiling} can be there: the "
            "lower one holds"
        )
    provisioned = Finding("Provisioned", TRUE, resolved.reason, message)
    if state.is_refused:
        told = f"{state.why}; {supply.turn}; refused {state.n_refused} times"
        return [provisioned, Finding("NodesArrive", FALSE, "ProvisioningRefused", told)]
    if supply.closed:
        return [provisioned, Finding("NodesArrive", TRUE, "PartlyRefused", supply.partly)]
    return [provisioned, Finding("NodesArrive", TRUE, "NoRefusal")]


def supply_status(supply: TypeSupply) -> dict[str, Any]:
    """`status.supply`."""
    found: dict[str, Any] = {
        "mode": "provisioned" if supply.is_provisioned else "fixed",
        "nodeGpus": supply.use.nodes,
        "askedGpus": supply.use.asked + supply.use.others,
    }
    if supply.is_provisioned:
        found["ceiling"] = supply.resolved.ceiling
        found["nodeStartup"] = format_duration(round(supply.startup.median_s))
        found["nodeStartups"] = supply.startup.n_seen
    if supply.state.is_refused:
        found["retryTime"] = stamp(supply.state.retry_at)
    headroom = headroom_status(supply)
    if headroom is not None:
        found["headroom"] = headroom
    return found
