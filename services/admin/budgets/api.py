"""Routes of GPU budgets."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path

from services.admin.budgets import service
from services.admin.budgets.schemas import BudgetView
from services.admin.identity.auth import AsReader, Deps, Reader
from services.admin.rest.params import Cursor, Limit
from services.admin.rest.problems import PROBLEMS
from services.admin.rest.route import Router
from services.admin.rest.schemas import Page

router = Router(prefix="/v1/budgets", tags=["budgets"], responses=PROBLEMS, dependencies=[Reader])


@router.get("")
def list_budgets(
    deps: Deps, principal: AsReader, limit: Limit = 50, cursor: Cursor = None
) -> Page[BudgetView]:
    """GPU budgets: what is allowed, used, free, and who gave up most at the newest decisions.

    Sums are over the whole fleet; workloads are named in the caller's namespaces only.
    """
    return service.page_budgets(deps, principal.namespaces(), limit, cursor)


@router.get("/{gpu_type:path}")
def get_budget(
    deps: Deps,
    principal: AsReader,
    gpu_type: Annotated[str, Path(max_length=63, examples=["H100"])],
) -> BudgetView:
    """One GPU budget, with everyone who gave something up at their newest decision."""
    return service.get_budget(deps, gpu_type, principal.namespaces())
