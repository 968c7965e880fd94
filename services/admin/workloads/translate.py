"""Rows of workloads to what the API returns; pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import RowMapping

from services.admin.rest.translate import finite, spec_of
from services.admin.workloads import schemas
from services.kernel.domain import WorkloadSpec, promise_figures, read_spec, step_promise
from services.kernel.domain.schedules import is_paused_at

COST_WINDOW_S = 86400.0
"""How far back GPU-hours and cost are summed."""


@dataclass(frozen=True, slots=True)
class WorkloadStanding:
    """How one of many workloads stands: what totals are of, and lists are narrowed by.

    Attributes:
        rungs: What answered last, of the decision's ladder and of the forecast's.
        cost_usd: Over `COST_WINDOW_S`; None: nothing is known.
        is_active: False: it left, and nothing but its cost counts.
        step_s: Length of its steps.
    """

    mode: str
    is_paused: bool
    rungs: frozenset[str]
    held_gpus: dict[str, int] | None
    risk: schemas.RiskView
    cost_usd: float | None
    is_active: bool
    step_s: int


def to_standing(row: RowMapping, now: datetime) -> WorkloadStanding:
    """How a workload stands, from its row."""
    spec = read_spec(row["spec_text"])
    return WorkloadStanding(
        mode=spec.mode,
        is_paused=is_paused(spec, now),
        rungs=frozenset(filter(None, (row["rung"], row["forecast_rung"]))),
        held_gpus=_held_gpus(row, spec),
        risk=_risk(row, spec),
        cost_usd=finite(row["cost_usd"]),
        is_active=row["is_active"],
        step_s=row["step_s"],
    )


def standing_of(view: schemas.WorkloadView) -> WorkloadStanding:
    """How a workload stands that is shown."""
    last = view.last_decision
    rungs = () if last is None else (last.rung, last.forecast_rung)
    return WorkloadStanding(
        mode=view.mode,
        is_paused=view.is_paused,
        rungs=frozenset(filter(None, rungs)),
        held_gpus=view.held_gpus,
        risk=view.risk,
        cost_usd=view.cost_usd,
        is_active=view.is_active,
        step_s=view.step_s,
    )


def to_workload(row: RowMapping, spent: RowMapping | None, now: datetime) -> schemas.WorkloadView:
    """A workload with its live state, and what it cost lately."""
    spec = spec_of(row["spec_text"])
    unit = next(item.unit for item in spec.indicators if item.name == spec.demand)
    return schemas.WorkloadView(
        namespace=row["namespace"],
        cluster=row["cluster"],
        name=row["name"],
        mode=spec.mode,
        is_active=row["is_active"],
        is_paused=is_paused(spec, now),
        gpu_type=spec.gpu_type,
        gpus_per_replica=spec.gpus_per_replica,
        min_replicas=spec.min_replicas,
        max_replicas=spec.max_replicas,
        price_usd_per_gpu_hour=spec.price_usd_per_gpu_hour,
        step_s=row["step_s"],
        demand_indicator=spec.demand,
        demand_unit=unit,
        demand=finite(row["demand"]),
        demand_at=row["demand_at"],
        capacity_per_replica=spec.capacity.per_replica,
        further_loads=_further_loads(spec),
        replicas=_replicas(row),
        parts=_parts(row, spec),
        held_gpus=_held_gpus(row, spec),
        risk=_risk(row, spec),
        last_decision=_last_decision(row),
        trust=_trust(row),
        gpu_hours=finite(spent["gpu_hours"]) if spent else None,
        cost_usd=finite(spent["cost_usd"]) if spent else None,
        cost_window_s=COST_WINDOW_S,
        spec_version=row["spec_version"],
        managed_by=row["managed_by"],
        object_uid=row["object_uid"],
    )


def _further_loads(spec: WorkloadSpec) -> list[schemas.FurtherLoadView]:
    units = {indicator.name: indicator.unit for indicator in spec.indicators}
    return [
        schemas.FurtherLoadView(
            indicator=load.indicator,
            unit=units[load.indicator],
            per_replica=load.per_replica,
            counts=load.counts,
        )
        for load in spec.capacity.also_bound_by
    ]


def is_paused(spec: WorkloadSpec, now: datetime) -> bool:
    """True where nothing may be applied at `now`."""
    return is_paused_at(paused=spec.paused, until=spec.paused_until, now=now)


def _replicas(row: RowMapping) -> schemas.ReplicaView | None:
    if row["state_at"] is None:
        return None
    return schemas.ReplicaView(
        observed_at=row["state_at"],
        spec=row["spec_replicas"],
        ready=row["ready_replicas"],
        starting=row["starting_replicas"],
        pending=row["pending_replicas"],
        schedulable_gpus=row["schedulable_gpus"],
    )


def _parts(row: RowMapping, spec: WorkloadSpec) -> list[schemas.PartView]:
    """Each variant or pool with its own counts; none: there is one target."""
    seen = row["seen_parts"] if isinstance(row["seen_parts"], dict) else {}
    decided = {one["name"]: one["desired"] for one in row["decided_parts"] or ()}
    return [
        schemas.PartView(
            name=part.name,
            gpu_type=part.gpu_type,
            gpus_per_replica=part.gpus_per_replica,
            price_usd_per_gpu_hour=part.price_usd_per_gpu_hour,
            replicas=(seen.get(part.name) or {}).get("spec"),
            desired_replicas=decided.get(part.name),
        )
        for part in spec.parts
    ]


def _held_gpus(row: RowMapping, spec: WorkloadSpec) -> dict[str, int] | None:
    """GPUs of replicas on a node by type; None: no snapshot, or of before it had these parts."""
    if row["state_at"] is None:
        return None
    if not spec.parts:
        n_bound = row["ready_replicas"] + row["starting_replicas"]
        return {spec.gpu_type: n_bound * spec.gpus_per_replica}
    found: dict[str, int] = {}
    seen = row["seen_parts"] if isinstance(row["seen_parts"], dict) else {}
    for part in spec.parts:
        own = seen.get(part.name)
        counts = [own.get(name) for name in ("ready", "starting")] if isinstance(own, dict) else []
        known = [count for count in counts if isinstance(count, int)]
        if len(known) < 2:
            return None
        found[part.gpu_type] = found.get(part.gpu_type, 0) + sum(known) * part.gpus_per_replica
    return found


def _risk(row: RowMapping, spec: WorkloadSpec) -> schemas.RiskView:
    """The promise; all else are the decision service's own figures."""
    known = promise_figures(row["risk_state"])
    sla, target = spec.sla, row["risk_target"]
    if target is None:  # not decided yet
        target = step_promise(sla.kind, sla.epsilon, sla.window_s, row["step_s"])
    return schemas.RiskView(
        kind=spec.sla.kind,
        target=target,
        estimated=finite(row["risk_estimated"]),
        source=known.source,
        violation_ratio=finite(known.violation_ratio),
        measured_ratio=finite(known.measured_ratio),
        measured_low_ratio=finite(known.measured_low_ratio),
        measured_high_ratio=finite(known.measured_high_ratio),
        believed_ratio=finite(known.believed_ratio),
        window_s=spec.sla.window_s,
        n_steps=round(known.n_steps),
        budget_remaining=finite(known.left_ratio),
        budget_remaining_high=finite(known.left_high_ratio),
        budget_remaining_low=finite(known.left_low_ratio),
        sli_status=known.sli_status,
        sli_message=known.sli_message,
        demand_censored_message=known.demand_censored_message,
        goal_unreachable_message=known.goal_unreachable_message,
        not_capacity_message=known.not_capacity_message,
    )


def _trust(row: RowMapping) -> schemas.TrustView | None:
    if row["is_trusted"] is None:
        return None
    return schemas.TrustView(
        is_trusted=row["is_trusted"],
        reason=row["trust_reason"],
        n_looks=row["n_trust_looks"],
        decided_at=row["trust_decided_at"],
    )


def _last_decision(row: RowMapping) -> schemas.LastDecision | None:
    if row["decision_id"] is None:
        return None
    return schemas.LastDecision(
        id=row["decision_id"],
        origin_at=row["origin_at"],
        decided_at=row["decided_at"],
        valid_until=row["valid_until"],
        desired_replicas=row["desired_replicas"],
        direction=row["direction"],
        reason=row["reason"],
        binding_constraint=row["binding_constraint"] or None,
        rung=row["rung"],
        forecast_rung=row["forecast_rung"],
        forecast_reason=row["forecast_reason"],
        model_version=row["model_version"],
        action_result=row["action_result"],
        action_reason=row["action_reason"],
    )


def to_spent_hour(row: RowMapping) -> schemas.SpentHour:
    """What a fleet used in one hour."""
    names = ("gpu_hours", "gpus", "cost_usd", "held_usd")
    return schemas.SpentHour(hour_at=row["hour"], **{name: float(row[name]) for name in names})
