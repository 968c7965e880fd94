"""Routes of workloads."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from services.admin.identity.auth import Deps, Reader
from services.admin.rest.filters import WorkloadFilters
from services.admin.rest.params import Cursor, Limit, Name, Namespace
from services.admin.rest.problems import PROBLEMS
from services.admin.rest.route import Router
from services.admin.rest.schemas import Page
from services.admin.workloads import schemas, service

router = Router(
    prefix="/v1/workloads", tags=["workloads"], responses=PROBLEMS, dependencies=[Reader]
)


@router.get("")
def list_workloads(
    deps: Deps,
    filters: WorkloadFilters,
    search: Annotated[str | None, Query(max_length=200, description="Part of ns/name")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[schemas.WorkloadView]:
    """Active workloads, each with its live state."""
    return service.list_workloads(deps, filters | {"search": search}, limit, cursor)


@router.get("/{namespace}/{name}")
def get_workload(deps: Deps, namespace: Namespace, name: Name) -> schemas.WorkloadView:
    """One workload with its live state."""
    return service.get_workload(deps, namespace, name)
