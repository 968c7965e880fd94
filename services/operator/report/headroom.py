"""How the status of a `GPUBudget` shows what is to be held ready, pure."""

from __future__ import annotations

from typing import Any

from services.kernel.domain.figures import fixed, kept, percentage
from services.operator.plan.headroom import HeadroomAdvice
from services.operator.plan.supply import TypeSupply
from services.operator.report.facts import FALSE, TRUE, UNKNOWN, Finding
from services.operator.report.status import stamp

_NOT_YET = (
    "nothing is advised that still holds: it takes a decision about a service of the type, and the "
    "next sweep of the decision service (harmony_job_failures_total shows one that fails)"
)


def headroom_findings(supply: TypeSupply) -> list[Finding]:
    """Condition `HeadroomReady`; none where the supply is fixed, or where it is off."""
    headroom = supply.headroom
    if not supply.is_provisioned or headroom.is_off:
        return []
    advice = headroom.advice
    if advice is None:
        return [Finding("HeadroomReady", UNKNOWN, "NotAdvised", _NOT_YET)]
    is_stated = headroom.stated is not None and headroom.stated.risk is not None
    told, buffer = _words(supply.gpu_type, advice, is_stated=is_stated), headroom.buffer
    if buffer is not None and buffer.problem:
        return [Finding("HeadroomReady", FALSE, buffer.reason, f"{told}. {buffer.problem}")]
    if buffer is not None:
        told += f". {buffer.name} asks for {buffer.gpus}"
    if advice.need_gpus == 0:
        return [Finding("HeadroomReady", TRUE, "NoneNeeded", told)]
    if advice.is_capped:
        return [Finding("HeadroomReady", FALSE, "CeilingReached", told)]
    if advice.free_gpus >= advice.gpus:
        return [Finding("HeadroomReady", TRUE, "Free", told)]
    reason = "Advised" if buffer is None else "Provisioning"
    return [Finding("HeadroomReady", FALSE, reason, told)]


def _words(gpu_type: str, advice: HeadroomAdvice, *, is_stated: bool) -> str:
    """How many GPUs, at what cost, what they avert, and what is not in it."""
    asked, before, after = (
        percentage(risk, 1, 1) for risk in (advice.risk, advice.risk_before, advice.risk_after)
    )
    why = f"{asked} asked for" if is_stated else "more would cost more than it averts"
    n_chunks = advice.gpus // advice.chunk_gpus
    found = (
        f"hold {advice.gpus} GPUs of {gpu_type} ready ({n_chunks} times {advice.chunk_gpus}), for "
        f"{fixed(advice.usd_per_hour)} USD/h; {advice.free_gpus} are free. A need within a node's "
        f"start-up that nothing is free for has a chance of {before} now and of "
        f"{after} with it ({why})"
    )
    if advice.is_capped:
        found += f"; {advice.need_gpus} may be needed, the ceiling or the budget allows no more "
        found += "(a budget that cannot be read allows nothing)"
    if advice.n_unknown:
        found += f"; of {advice.n_unknown} services it is not known what they may need"
    if advice.beyond_ratio >= 0.05:
        found += f"; {advice.beyond_ratio:.0%} of the nodes come later than forecasts reach"
    return found


def headroom_status(supply: TypeSupply) -> dict[str, Any] | None:
    """`status.supply.headroom`; None: there is no advice."""
    advice = supply.headroom.advice
    if advice is None:
        return None
    return {
        "risk": advice.risk,
        "gpus": advice.gpus,
        "freeGpus": advice.free_gpus,
        "costPerHour": kept(advice.usd_per_hour, 2),
        "riskBefore": kept(advice.risk_before),
        "riskAfter": kept(advice.risk_after),
        "time": stamp(advice.advised_at),
    }
