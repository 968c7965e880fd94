"""Routes of one workload's time series."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query
from pydantic import Field

from services.admin.identity.auth import Deps, Reader
from services.admin.rest.params import FromAt, Name, Namespace, ToAt, window
from services.admin.rest.problems import PROBLEMS
from services.admin.rest.route import Router
from services.admin.rest.service import WorkloadKey
from services.admin.rest.times import Instant
from services.admin.series import schemas, service
from services.admin.series.service import AheadQuery

_Level = Annotated[float, Field(gt=0, lt=1)]

router = Router(
    prefix="/v1/workloads", tags=["workloads"], responses=PROBLEMS, dependencies=[Reader]
)


@router.get("/{namespace}/{name}/forecasts")
def get_forecast(
    deps: Deps,
    namespace: Namespace,
    name: Name,
    origin_at: Annotated[
        Instant | None, Query(description="Origin of the forecast; default: the newest")
    ] = None,
    n_context: Annotated[int, Query(ge=1, le=2000, description="Steps of demand before it")] = 48,
    load: Annotated[
        str, Query(max_length=63, description="A further load by its indicator; default: demand")
    ] = "",
) -> schemas.ForecastView:
    """Fan-chart data: the forecast made at one origin and the demand observed around it.

    With `load`, the same of a further load, in its unit and with what a replica bears of it.
    """
    return service.get_forecast(deps, WorkloadKey(namespace, name), origin_at, n_context, load)


async def ahead_query(
    n_ahead: Annotated[int, Query(ge=1, le=288, description="Steps ahead")] = 1,
    level: Annotated[
        list[_Level] | None, Query(max_length=64, description="Quantile levels; default: all")
    ] = None,
) -> AheadQuery:
    """Steps ahead and quantile levels of the forecasts asked for."""
    return AheadQuery(n_ahead, tuple(level or ()))


@router.get("/{namespace}/{name}/forecasts/ahead")
def get_forecast_ahead(
    deps: Deps,
    namespace: Namespace,
    name: Name,
    query: Annotated[AheadQuery, Depends(ahead_query)],
    from_at: FromAt = None,
    to_at: ToAt = None,
) -> schemas.ForecastAheadView:
    """For each step, what had been forecast `n_ahead` steps before it, beside what came."""
    period = window(deps, from_at, to_at, deps.settings.step_s)
    return service.get_forecast_ahead(deps, WorkloadKey(namespace, name), query, period)


@router.get("/{namespace}/{name}/indicators")
def get_indicators(
    deps: Deps,
    namespace: Namespace,
    name: Name,
    indicator: Annotated[
        list[str] | None, Query(max_length=64, description="Names; default: all")
    ] = None,
    from_at: FromAt = None,
    to_at: ToAt = None,
) -> list[schemas.IndicatorSeries]:
    """Indicators on the step grid."""
    period = window(deps, from_at, to_at, deps.settings.step_s)
    return service.get_indicators(deps, WorkloadKey(namespace, name), indicator or [], period)


@router.get("/{namespace}/{name}/allocation")
def get_allocation(
    deps: Deps, namespace: Namespace, name: Name, from_at: FromAt = None, to_at: ToAt = None
) -> schemas.AllocationView:
    """Replicas over time: needed, decided, present."""
    period = window(deps, from_at, to_at, deps.settings.step_s)
    return service.get_allocation(deps, WorkloadKey(namespace, name), period)


@router.get("/{namespace}/{name}/quality")
def get_quality(deps: Deps, namespace: Namespace, name: Name) -> list[schemas.QualityView]:
    """Scores of the last week's forecasts, per model."""
    return service.get_quality(deps, WorkloadKey(namespace, name))


@router.get("/{namespace}/{name}/lead-times")
def get_lead_times(deps: Deps, namespace: Namespace, name: Name) -> schemas.LeadTimeView:
    """Measured lead times of the last week."""
    return service.get_lead_times(deps, WorkloadKey(namespace, name))
