"""Rows of a workload's time series to what the API returns; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
from sqlalchemy import RowMapping

from services.admin.rest.translate import finite
from services.admin.series import schemas
from services.admin.series.fans_schemas import OriginView
from services.kernel.domain import WorkloadSpec
from services.kernel.domain.path_bytes import unpack_loads


def to_observed(rows: Iterable[RowMapping]) -> schemas.ObservedSeries:
    """Demand by step."""
    rows = list(rows)
    return schemas.ObservedSeries(
        step_at=[row["step_at"] for row in rows],
        demand=[finite(row["value"]) if row["is_observed"] else None for row in rows],
    )


def to_violations(outcomes: Mapping[str, Sequence[float | None]]) -> dict[str, list[float | None]]:
    """Shares of the steps out of SLA: each source's, and the measured one where there is one."""
    measured, believed = (
        [finite(value) for value in outcomes[name]] for name in ("measured_ratio", "believed_ratio")
    )
    pairs = zip(measured, believed, strict=True)
    return {
        "violation_ratio": [thought if felt is None else felt for felt, thought in pairs],
        "measured_ratio": measured,
        "believed_ratio": believed,
    }


@dataclass(frozen=True, slots=True)
class LoadBound:
    """Unit of a load, and what a replica bears of it."""

    unit: str
    per_replica: float


def to_bound(spec: WorkloadSpec, load: str) -> LoadBound:
    """The bound of the demand or of a further load."""
    further = {one.indicator: one.per_replica for one in spec.capacity.also_bound_by}
    return LoadBound(load_unit(spec, load), further.get(load, spec.capacity.per_replica))


def to_further_quantiles(row: RowMapping, load: str) -> list[list[float]]:
    """Quantiles (Q, H) of a further load from its stored paths."""
    at, names = row["further_names"].index(load), row["further_names"]
    halves = unpack_loads(row["further_paths"], len(names), row["n_paths"], row["n_horizon"])
    paths = halves[at].astype(np.float64)
    levels = _levels(tuple(row["quantile_levels"]))
    found = np.quantile(paths * row["further_scales"][at], levels, axis=0, method="hazen")
    return [[float(value) for value in level] for level in found]


def to_forecast(
    row: Mapping[str, Any],
    bound: LoadBound,
    observed: schemas.ObservedSeries,
    previous: datetime | None,
    following: datetime | None,
) -> schemas.ForecastView:
    """A fan chart."""
    return schemas.ForecastView(
        created_at=row["created_at"],
        step_s=row["step_s"],
        unit=bound.unit,
        capacity_per_replica=bound.per_replica,
        observed=observed,
        previous_origin_at=previous,
        next_origin_at=following,
        **fan_values(row),
    )


def fan_values(row: Mapping[str, Any] | RowMapping) -> dict[str, Any]:
    """A forecast as fields of a fan."""
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
    """Place of each wanted level among a forecast's own; None: it has none."""
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


def load_unit(spec: WorkloadSpec, load: str) -> str:
    """Unit of the demand or a further load, in words; the indicator's name where none is given."""
    unit = next(item.unit for item in spec.indicators if item.name == load)
    return unit or load


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
    skill = finite(1.0 - row["crps_compared"] / base) if base else None
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


def to_origin(row: RowMapping) -> OriginView:
    """A forecast without its quantiles."""
    return OriginView.model_validate(dict(row))
