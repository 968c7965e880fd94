"""Use cases around one workload's time series: forecasts, demand, allocation, scores."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, RowMapping

from services.admin.deps import AdminDeps
from services.admin.rest.service import Workload, WorkloadKey, find_workload
from services.admin.rest.times import AHEAD, Window
from services.admin.rest.translate import finite
from services.admin.series import repository, schemas, translate
from services.kernel.errors import InvalidInput, NotFound
from services.kernel.server_clock import shared_now

QUALITY_WINDOW = timedelta(days=7)
QUALITY_SAMPLE = 200
"""About as many forecasts of the window, evenly spaced, are averaged: of a week on steps of 300 s
each tenth, so that their horizons of 12 steps still cover every step."""


@dataclass(frozen=True, slots=True)
class AheadQuery:
    """Forecasts `n_ahead` steps ahead at the quantile levels named; none: at all of them."""

    n_ahead: int = 1
    levels: tuple[float, ...] = ()


def get_forecast(
    deps: AdminDeps, key: WorkloadKey, origin_at: datetime | None, n_context: int, load: str = ""
) -> schemas.ForecastView:
    """The fan chart at an origin (None: the newest) with `n_context` steps of demand before it.

    Args:
        deps: The API's.
        key: The workload.
        origin_at: The origin.
        n_context: Steps before it.
        load: A further load to show instead of the demand; empty: the demand.

    Raises:
        NotFound: No such workload, or no forecast at this origin.
        InvalidInput: The load is not one of the workload's.
    """
    with deps.reading() as connection:
        workload = find_workload(connection, key)
        load = load or workload.spec.demand
        loads = (workload.spec.demand, *workload.spec.further_loads)
        if load not in loads:
            raise InvalidInput(f"load={load!r} must be one of {list(loads)}")
        until = shared_now(connection, deps.clock) + AHEAD
        row = repository.load_forecast(connection, workload.id, origin_at, until)
        if row is None:
            at = f" at origin_at={origin_at.isoformat()}" if origin_at else " yet"
            raise NotFound(f"workload {key} has no forecast{at}")
        origin = row["origin_at"]
        fan = dict(row)
        if load != workload.spec.demand:
            fan["quantiles"] = _further_quantiles(connection, key, row, load)
        step = timedelta(seconds=row["step_s"])
        window = Window(origin - step * (n_context - 1), origin + step * row["n_horizon"])
        observed = _observed(connection, workload, load, window)
        previous, following = repository.load_neighbour_origins(connection, workload.id, origin)
    bound = translate.to_bound(workload.spec, load)
    return translate.to_forecast(fan, bound, observed, previous, following)


def _further_quantiles(
    connection: Connection, key: WorkloadKey, row: RowMapping, load: str
) -> list[list[float]]:
    """Quantiles (Q, H) of a further load of a forecast."""
    further = repository.load_further(connection, row)
    if load not in (further["further_names"] or ()):
        why = f": {row['reason']}" if row["reason"] else ""
        at = row["origin_at"].isoformat()
        raise NotFound(f"workload {key} has no forecast of load={load!r} at origin_at={at}{why}")
    return translate.to_further_quantiles(further, load)


def get_forecast_ahead(
    deps: AdminDeps, key: WorkloadKey, query: AheadQuery, window: Window
) -> schemas.ForecastAheadView:
    """Forecasts made some steps before each step of the window, and the demand that came.

    Raises:
        NotFound: No such workload.
    """
    with deps.reading() as connection:
        workload = find_workload(connection, key)
        rows = repository.load_forecasts_ahead(connection, workload.id, query.n_ahead, window)
        observed = _observed(connection, workload, workload.spec.demand, window)
    series = translate.to_ahead_series(rows, query.levels)
    return schemas.ForecastAheadView(
        n_ahead=query.n_ahead,
        step_s=workload.step_s,
        unit=translate.load_unit(workload.spec, workload.spec.demand),
        capacity_per_replica=workload.spec.capacity.per_replica,
        **translate.align(series, observed),
    )


def _observed(
    connection: Connection, workload: Workload, load: str, window: Window
) -> schemas.ObservedSeries:
    rows = repository.load_indicators(connection, workload.id, [load], window)
    return translate.to_observed(rows)


def get_indicators(
    deps: AdminDeps, key: WorkloadKey, names: list[str], window: Window
) -> list[schemas.IndicatorSeries]:
    """Indicators on the step grid; no names: all of the workload's.

    Raises:
        NotFound: No such workload.
        InvalidInput: A name is not one of its indicators.
    """
    with deps.reading() as connection:
        workload = find_workload(connection, key)
        known = [item.name for item in workload.spec.indicators]
        unknown = [name for name in names if name not in known]
        if unknown:
            raise InvalidInput(f"indicator={unknown[0]!r} must be one of {known}")
        wanted = names or known
        rows = repository.load_indicators(connection, workload.id, wanted, window)
    found = translate.to_indicators(rows, workload.spec)
    return [series for series in found if series.name in wanted]


def get_allocation(deps: AdminDeps, key: WorkloadKey, window: Window) -> schemas.AllocationView:
    """Replicas over time: needed, decided, present.

    Raises:
        NotFound: No such workload.
    """
    with deps.reading() as connection:
        workload = find_workload(connection, key)
        outcomes = repository.load_outcome_series(connection, workload.id, window)
        decided = repository.load_decided_series(connection, workload.id, window)
        states = repository.load_state_series(connection, workload.id, window)
    return schemas.AllocationView(
        step_s=workload.step_s,
        gpus_per_replica=workload.spec.gpus_per_replica,
        **outcomes | translate.to_violations(outcomes),
        **decided,
        **states,
    )


def get_quality(deps: AdminDeps, key: WorkloadKey) -> list[schemas.QualityView]:
    """Forecast scores of the last week, per model, over a sample of `QUALITY_SAMPLE` forecasts.

    Raises:
        NotFound: No such workload.
    """
    since = deps.clock.now() - QUALITY_WINDOW
    with deps.reading() as connection:
        workload = find_workload(connection, key)
        rows = repository.load_quality(
            connection, workload.id, since, workload.step_s, QUALITY_SAMPLE
        )
    return [translate.to_quality(row) for row in rows]


def get_lead_times(deps: AdminDeps, key: WorkloadKey) -> schemas.LeadTimeView:
    """Measured lead times of the last week.

    Raises:
        NotFound: No such workload.
    """
    since = deps.clock.now() - QUALITY_WINDOW
    with deps.reading() as connection:
        workload = find_workload(connection, key)
        row = repository.load_lead_times(connection, workload.id, since)
    prior = workload.spec.lead_time
    return schemas.LeadTimeView(
        window_s=QUALITY_WINDOW.total_seconds(),
        prior_median_s=prior.median_s,
        prior_sigma=prior.sigma,
        **{name: finite(value) if name.endswith("_s") else value for name, value in row.items()},
    )
