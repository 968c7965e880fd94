"""Routes of SLA classes."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path

from services.admin.classes import service
from services.admin.classes.schemas import SlaClassView
from services.admin.identity.auth import AsReader, Deps
from services.admin.rest.filters import WorkloadFilters
from services.admin.rest.params import Cursor, Limit
from services.admin.rest.problems import PROBLEMS
from services.admin.rest.route import Router
from services.admin.rest.schemas import Page

router = Router(prefix="/v1", responses=PROBLEMS)


@router.get("/sla-classes", tags=["sla classes"])
def list_classes(
    deps: Deps, filters: WorkloadFilters, limit: Limit = 50, cursor: Cursor = None
) -> Page[SlaClassView]:
    """SLA classes in use: what workloads promise, what was kept, and what they cost.

    The cost of a workload that left within the day stays in the sums of its class.
    """
    return service.list_classes(deps, filters, limit, cursor)


@router.get("/sla-classes/{class_name}", tags=["sla classes"])
def get_class(
    deps: Deps,
    principal: AsReader,
    class_name: Annotated[str, Path(max_length=253, examples=["gold"])],
) -> SlaClassView:
    """One SLA class."""
    return service.get_class(deps, class_name, principal.namespaces())
