"""Routes of workloads and their time series."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Depends, Path, Query

from services.admin.decisions import schemas, service
from services.admin.decisions.service import AdminDeps
from services.admin.identity.auth import PROBLEMS, Deps, Reader
from services.admin.rest.filters import WorkloadFilters
from services.admin.rest.route import Router
from services.admin.rest.times import Instant
from services.admin.series import service as service_series
from services.admin.series.service import AheadQuery
from services.kernel.errors import InvalidInput

router = Router(
    prefix="/v1/workloads", tags=["workloads"], responses=PROBLEMS, dependencies=[Reader]
)
_MAX_WINDOW_STEPS = 20_000

Namespace = Annotated[str, Path(max_length=63, examples=["prod"])]
Name = Annotated[str, Path(max_length=253, examples=["llama-70b"])]
Limit = Annotated[int, Query(ge=1, le=500, description="Items per page")]
Cursor = Annotated[str | None, Query(max_length=500, description="`next_cursor` of a page")]
FromAt = Annotated[
    Instant | None, Query(description="Start, inclusive; default: a day before `to_at`")
]
ToAt = Annotated[Instant | None, Query(description="End, inclusive; default: now")]


def window(
    deps: AdminDeps, from_at: datetime | None, to_at: datetime | None, step_s: int
) -> tuple[datetime, datetime]:
    """The window asked for, by default the last day.

    Raises:
        InvalidInput: It is empty or holds too many steps.
    """
    end = to_at or deps.clock.now()
    start = from_at or end - timedelta(days=1)
    if start > end:
        raise InvalidInput(f"from_at={start.isoformat()} must not be after {end.isoformat()}")
    if (end - start).total_seconds() > _MAX_WINDOW_STEPS * step_s:
        raise InvalidInput(
            f"from_at={start.isoformat()}: the window holds more than {_MAX_WINDOW_STEPS} steps "
            f"of {step_s} s; ask for less at once"
        )
    return start, end


@router.get("")
def list_workloads(
    deps: Deps,
    filters: WorkloadFilters,
    search: Annotated[str | None, Query(max_length=200, description="Part of ns/name")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> schemas.Page[schemas.WorkloadView]:
    """Active workloads, each with its live state."""
    return service.list_workloads(deps, filters | {"search": search}, limit, cursor)


@router.get("/{namespace}/{name}")
def get_workload(deps: Deps, namespace: Namespace, name: Name) -> schemas.WorkloadView:
    """One workload with its live state."""
    return service.get_workload(deps, namespace, name)


@router.get("/{namespace}/{name}/forecasts")
def get_forecast(
    deps: Deps,
    namespace: Namespace,
    name: Name,
    origin_at: Annotated[
        Instant | None, Query(description="Origin of the forecast; default: the newest")
    ] = None,
    n_context: Annotated[int, Query(ge=1, le=2000, description="Steps of demand before it")] = 48,
) -> schemas.ForecastView:
    """Fan-chart data: the forecast made at one origin and the demand observed around it."""
    return service_series.get_forecast(deps, (namespace, name), origin_at, n_context)


async def ahead_query(
    n_ahead: Annotated[int, Query(ge=1, le=288, description="Steps ahead")] = 1,
    level: Annotated[
        list[float] | None, Query(max_length=64, description="Quantile levels; default: all")
    ] = None,
) -> AheadQuery:
    """Which of the earlier forecasts to give."""
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
    return service_series.get_forecast_ahead(deps, (namespace, name), query, period)


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
    return service_series.get_indicators(deps, (namespace, name), indicator or [], period)


@router.get("/{namespace}/{name}/allocation")
def get_allocation(
    deps: Deps, namespace: Namespace, name: Name, from_at: FromAt = None, to_at: ToAt = None
) -> schemas.AllocationView:
    """Replicas over time: needed, decided, present."""
    period = window(deps, from_at, to_at, deps.settings.step_s)
    return service_series.get_allocation(deps, (namespace, name), period)


@router.get("/{namespace}/{name}/quality")
def get_quality(deps: Deps, namespace: Namespace, name: Name) -> list[schemas.QualityView]:
    """Scores of the last week's forecasts, per model."""
    return service_series.get_quality(deps, (namespace, name))


@router.get("/{namespace}/{name}/lead-times")
def get_lead_times(deps: Deps, namespace: Namespace, name: Name) -> schemas.LeadTimeView:
    """Measured lead times of the last week."""
    return service_series.get_lead_times(deps, (namespace, name))
