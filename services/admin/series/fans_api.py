"""Routes of forecasts at several origins."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query

from services.admin.identity.auth import Deps, Reader
from services.admin.rest.filters import Times
from services.admin.rest.params import Cursor, Limit, Name, Namespace
from services.admin.rest.problems import PROBLEMS
from services.admin.rest.route import Router
from services.admin.rest.schemas import Page
from services.admin.rest.service import WorkloadKey
from services.admin.rest.times import Instant
from services.admin.series import fans_service
from services.admin.series.fans_schemas import FansView, OriginView
from services.admin.series.fans_service import FansQuery

router = Router(
    prefix="/v1/workloads/{namespace}/{name}/forecasts",
    tags=["forecasts"],
    responses=PROBLEMS,
    dependencies=[Reader],
)


async def fans_query(
    origin_at: Annotated[
        list[Instant] | None,
        Query(max_length=48, description="Origins; default: `n_origins`, `every_steps` apart"),
    ] = None,
    n_origins: Annotated[int, Query(ge=1, le=48)] = 6,
    every_steps: Annotated[int, Query(ge=1, le=2016)] = 12,
    to_at: Annotated[
        Instant | None, Query(description="No origin after it; default: the newest")
    ] = None,
    n_context: Annotated[int, Query(ge=1, le=2000, description="Steps of demand before")] = 48,
) -> FansQuery:
    """Origins asked for."""
    return FansQuery(origin_at or (), n_origins, every_steps, to_at, n_context)


@router.get("/fans")
def get_fans(
    deps: Deps, namespace: Namespace, name: Name, query: Annotated[FansQuery, Depends(fans_query)]
) -> FansView:
    """Fan-chart data at several origins, and the demand before, between and after them."""
    return fans_service.get_fans(deps, WorkloadKey(namespace, name), query)


@router.get("/origins")
def list_origins(
    deps: Deps,
    namespace: Namespace,
    name: Name,
    period: Times,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[OriginView]:
    """Forecasts of a workload without their quantiles, newest first, by origin."""
    return fans_service.list_origins(deps, WorkloadKey(namespace, name), period, limit, cursor)
