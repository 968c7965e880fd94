"""From guarded counts to what the GPU budgets leave of them."""

from __future__ import annotations

import numpy as np

from decider.candidates import effective_bounds
from decider.fallback import Standing
from decider.fleet import Allocation, Claims, allocate
from decider.outlook import Outlook
from decider.reasons import UNREADABLE, Draft, Grant
from decider.types import ShardRequest, WorkloadInput

VIOLATION_WORTH = 100.0
"""Replica-steps that a step out of SLA counts for when a scarce budget is shared."""


def share_budgets(
    request: ShardRequest, outlook: Outlook, standings: list[Standing], drafts: list[Draft]
) -> list[Grant]:
    """Cap counts by the GPU budgets of their types."""
    grants = [Grant(d.guarded) for d in drafts]
    by_type: dict[str, list[int]] = {}
    for row, w in enumerate(request.workloads):
        if w.verdict is not None:
            given = w.verdict
            price = given.shadow_price_usd_per_gpu_hour
            grants[row] = Grant(given.cap, given.cap, price, given.detail)
        elif w.hardware.gpu_type in request.gpu_budgets:
            by_type.setdefault(w.hardware.gpu_type, []).append(row)
    for gpu_type, rows in by_type.items():
        budget = request.gpu_budgets[gpu_type]
        if budget is None:
            for row in rows:
                current = request.workloads[row].replicas.spec
                if drafts[row].guarded > current:
                    grants[row] = Grant(current, current, 0.0, UNREADABLE)
            continue
        claims = _claims(request, outlook, standings, [drafts[r].guarded for r in rows], rows)
        shared = allocate(claims, budget)
        for i, row in enumerate(rows):
            grants[row] = _grant(request.workloads[row], drafts[row], shared, i, budget)
    return grants


def _grant(workload: WorkloadInput, draft: Draft, shared: Allocation, i: int, budget: int) -> Grant:
    granted = int(shared.granted[i])
    if not shared.is_feasible:
        granted = min(draft.guarded, max(granted, min(workload.replicas.spec, draft.guarded)))
        return Grant(granted, granted, 0.0, f"minimum replicas alone exceed {budget} GPUs")
    if granted == draft.guarded:
        return Grant(granted)
    return Grant(granted, granted, shared.shadow_price, f"{budget} GPUs are shared")


def _claims(
    request: ShardRequest,
    outlook: Outlook,
    standings: list[Standing],
    wanted: list[int],
    rows: list[int],
) -> Claims:
    """Losses by count of the workloads that share a type."""
    low = [_least(request.workloads[row], wanted[i]) for i, row in enumerate(rows)]
    size = max(want - least for want, least in zip(wanted, low, strict=True)) + 1
    loss = np.zeros((len(rows), size))
    for i, row in enumerate(rows):
        counts = low[i] + np.arange(size)
        w = request.workloads[row]
        if standings[row].replicas is not None:
            lost = np.maximum(wanted[i] - counts, 0) / max(wanted[i], 1)
            values = VIOLATION_WORTH * lost
        else:
            index = outlook.grid.row_index(row, counts)
            short = outlook.program.stages.own_shortage[row, 0]
            risk = outlook.charge[row, index]
            values = VIOLATION_WORTH * risk + outlook.program.shortage_price * short[index]
        usd = w.hardware.usd_per_hour(1.0) or 1.0
        loss[i] = np.minimum.accumulate(w.sla.class_weight * usd * values)
    gpus = np.array([request.workloads[row].hardware.gpus_per_replica for row in rows])
    return Claims(loss, np.array(low), np.array(wanted), gpus)


def _least(workload: WorkloadInput, wanted: int) -> int:
    """Least count that the budget may cut a workload to: people's pauses outrank it."""
    control = workload.control
    if not workload.has_replica_state:
        return wanted
    held = control.is_paused or control.freeze is not None or control.scale_out_only
    if held or control.paused_until_s is not None:
        return min(wanted, workload.replicas.spec)
    return min(wanted, effective_bounds(workload)[0])
