"""Rows to what the API returns; pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import RowMapping

from services.admin.decisions import schemas
from services.kernel.domain import WorkloadSpec


def finite(value: float | None, digits: int = 7) -> float | None:
    """`value` to `digits` significant digits; None where it is not a number.

    Postgres' REAL has seven digits; the rest is noise of the conversion.
    """
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{digits}g}")


@lru_cache(maxsize=2048)
def spec_of(text: str) -> WorkloadSpec:
    """A workload's spec from its JSON as stored; parsed once, as it seldom changes."""
    return WorkloadSpec.model_validate_json(text)


def to_workload(
    row: RowMapping, measured: RowMapping | None, window_s: float, now: datetime
) -> schemas.WorkloadView:
    """A workload with its live state."""
    spec = spec_of(row["spec_text"])
    unit = next(item.unit for item in spec.indicators if item.name == spec.demand)
    return schemas.WorkloadView(
        namespace=row["namespace"],
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
        replicas=_replicas(row),
        risk=_risk(row, spec, measured, window_s),
        last_decision=_last_decision(row),
        trust=_trust(row),
        gpu_hours=finite(measured["gpu_hours"]) if measured else None,
        cost_usd=finite(measured["cost_usd"]) if measured else None,
        spec_version=row["spec_version"],
        managed_by=row["managed_by"],
    )


def is_paused(spec: WorkloadSpec, now: datetime) -> bool:
    """Whether nothing may be applied at `now`."""
    if spec.paused_until:
        try:
            until = datetime.fromisoformat(spec.paused_until)
        except ValueError:
            return True  # an end that cannot be read is no end
        return now < until if until.tzinfo else True
    return spec.paused


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


def _risk(
    row: RowMapping, spec: WorkloadSpec, measured: RowMapping | None, window_s: float
) -> schemas.RiskView:
    target = row["risk_target"] if row["risk_target"] is not None else spec.sla.epsilon
    return schemas.RiskView(
        kind=spec.sla.kind,
        target=target,
        estimated=finite(row["risk_estimated"]),
        measured=finite(measured["violation_ratio"]) if measured else None,
        measured_window_s=window_s,
        n_measured_steps=measured["n_steps"] if measured else 0,
        budget_remaining=budget_remaining(row["risk_state"], spec, row["step_s"]),
    )


def budget_remaining(
    state: Mapping[str, Any] | None, spec: WorkloadSpec, step_s: int
) -> float | None:
    """Share of the error budget left: 1 - violation spent / (epsilon * steps of the window).

    None where the decision service has stored no state of the risk control yet.
    """
    spent = (state or {}).get("spent_steps")
    if not isinstance(spent, (int, float)):
        return None
    return finite(1.0 - float(spent) / (spec.sla.epsilon * spec.sla.window_s / step_s))


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


def to_decision(row: RowMapping) -> schemas.DecisionSummary:
    """A decision for a list."""
    return schemas.DecisionSummary.model_validate(decision_values(row))


def decision_values(row: RowMapping) -> dict[str, Any]:
    """Fields of a decision, its numbers rounded."""
    values: dict[str, Any] = dict(row)
    return values | {
        "workload": values["name"],
        "binding_constraint": values["binding_constraint"] or None,
        "risk_target": finite(values["risk_target"]),
        "risk_estimated": finite(values["risk_estimated"]),
        "cost_delta_usd_per_h": finite(values["cost_delta_usd_per_h"]) or 0.0,
    }


def to_decision_detail(
    row: RowMapping, actions: Sequence[RowMapping], outcomes: Sequence[RowMapping]
) -> schemas.DecisionDetail:
    """A decision with its forecast, actions (oldest first) and outcomes."""
    attempts = [to_action(item) for item in reversed(actions)]
    newest = attempts[-1] if attempts else None
    values = decision_values(row) | {
        "action_result": newest.result if newest else None,
        "action_reason": newest.reason if newest else None,
        "applied_at": newest.applied_at if newest else None,
        "actions": attempts,
        "outcomes": [to_outcome(item) for item in reversed(outcomes)],
    }
    return schemas.DecisionDetail.model_validate(values)


def to_action(row: RowMapping) -> schemas.ActionView:
    """An action."""
    return schemas.ActionView.model_validate(dict(row) | {"workload": row["name"]})


def to_outcome(row: RowMapping) -> schemas.OutcomeView:
    """An outcome; what is not finite was not measured."""
    numbers = ("demand", "ready_mean", "violation_ratio", "shortage", "gpu_hours", "cost_usd")
    cleaned = {name: finite(row[name]) for name in numbers}
    return schemas.OutcomeView.model_validate(dict(row) | {"workload": row["name"]} | cleaned)


def to_observed(rows: Iterable[RowMapping]) -> schemas.ObservedSeries:
    """Demand by step."""
    rows = list(rows)
    return schemas.ObservedSeries(
        step_at=[row["step_at"] for row in rows],
        demand=[finite(row["value"]) if row["is_observed"] else None for row in rows],
    )


def to_forecast(
    row: RowMapping,
    spec: WorkloadSpec,
    observed: schemas.ObservedSeries,
    neighbours: tuple[datetime | None, datetime | None],
) -> schemas.ForecastView:
    """A fan chart."""
    return schemas.ForecastView(
        created_at=row["created_at"],
        step_s=row["step_s"],
        unit=demand_unit(spec),
        capacity_per_replica=spec.capacity.per_replica,
        observed=observed,
        previous_origin_at=neighbours[0],
        next_origin_at=neighbours[1],
        **fan_values(row),
    )


def fan_values(row: RowMapping) -> dict[str, Any]:
    """What a forecast says, as fields of a fan."""
    step = timedelta(seconds=row["step_s"])
    return {
        **{name: row[name] for name in ("id", "origin_at", "model_version", "rung", "reason")},
        "quantile_levels": list(_levels(tuple(row["quantile_levels"]))),
        "step_at": [row["origin_at"] + step * (h + 1) for h in range(row["n_horizon"])],
        "quantiles": [[finite(value) for value in level] for level in row["quantiles"]],
    }


@dataclass(frozen=True, slots=True)
class AheadSeries:
    """Forecasts some steps ahead, by step: quantiles at `levels`, and the rung that answered."""

    levels: tuple[float, ...]
    quantiles: dict[datetime, list[float | None]]
    rungs: dict[datetime, str]


def to_ahead_series(rows: Sequence[RowMapping], levels: Sequence[float]) -> AheadSeries:
    """Forecasts some steps ahead.

    Args:
        rows: One per step, with `quantile_levels` and `quantiles` (Q, 1).
        levels: Levels wanted; none: those of the newest row. A row that lacks one has None there.
    """
    stored = [_levels(tuple(row["quantile_levels"])) for row in rows]
    wanted = tuple(levels) or (stored[-1] if stored else ())
    quantiles: dict[datetime, list[float | None]] = {}
    rungs: dict[datetime, str] = {}
    for row, own in zip(rows, stored, strict=True):
        step_at, values = row["step_at"], row["quantiles"]
        rungs[step_at] = row["rung"]
        quantiles[step_at] = [
            None if place is None else finite(values[place][0]) for place in _places(own, wanted)
        ]
    return AheadSeries(wanted, quantiles, rungs)


@lru_cache(maxsize=256)
def _levels(stored: tuple[float, ...]) -> tuple[float, ...]:
    """Quantile levels as they were before Postgres' REAL."""
    return tuple(finite(level, 5) or 0.0 for level in stored)


@lru_cache(maxsize=256)
def _places(own: tuple[float, ...], wanted: tuple[float, ...]) -> tuple[int | None, ...]:
    """Where each wanted level stands among a forecast's own; None: it has none."""
    return tuple(own.index(level) if level in own else None for level in wanted)


def align(series: AheadSeries, observed: schemas.ObservedSeries) -> dict[str, Any]:
    """Forecasts and demand on one list of steps, as fields of a `ForecastAheadView`."""
    demand = dict(zip(observed.step_at, observed.demand, strict=True))
    steps = sorted(series.quantiles.keys() | demand.keys())
    blank: list[float | None] = [None] * len(series.levels)
    columns = [series.quantiles.get(step, blank) for step in steps]
    return {
        "quantile_levels": list(series.levels),
        "step_at": steps,
        "quantiles": [[column[q] for column in columns] for q in range(len(series.levels))],
        "demand": [demand.get(step) for step in steps],
        "rung": [series.rungs.get(step) for step in steps],
    }


def demand_unit(spec: WorkloadSpec) -> str:
    """Unit of the demand indicator, in words; its name where none is given."""
    unit = next(item.unit for item in spec.indicators if item.name == spec.demand)
    return unit or spec.demand


def to_indicators(rows: Iterable[RowMapping], spec: WorkloadSpec) -> list[schemas.IndicatorSeries]:
    """Indicators of a workload in the order of its spec; those without rows are empty."""
    grouped: dict[str, list[RowMapping]] = {}
    for row in rows:
        grouped.setdefault(row["indicator"], []).append(row)
    return [
        schemas.IndicatorSeries(
            name=item.name,
            level=item.level,
            unit=item.unit,
            step_at=[row["step_at"] for row in grouped.get(item.name, [])],
            values=[
                finite(row["value"]) if row["is_observed"] else None
                for row in grouped.get(item.name, [])
            ],
        )
        for item in spec.indicators
    ]


def to_quality(row: RowMapping) -> schemas.QualityView:
    """Averaged scores of one model."""
    base = row["crps_last_value"]
    skill = finite(1.0 - row["crps"] / base) if base else None
    return schemas.QualityView(
        model_version=row["model_version"],
        n_forecasts=row["n_forecasts"],
        crps=row["crps"],
        crps_last_value=base,
        skill_vs_last_value=skill,
        coverage={key: round(value, 6) for key, value in (row["coverage"] or {}).items()},
        pinball={key: finite(value) for key, value in (row["pinball"] or {}).items()},
        hedge_weight_body=finite((row["hedge_weight"] or {}).get("body")),
        hedge_weight_tail=finite((row["hedge_weight"] or {}).get("tail")),
    )
