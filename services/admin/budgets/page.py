"""GPU budgets and SLA classes: what is allowed, promised, used and kept."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from services.admin.budgets import service
from services.admin.classes.service import list_classes
from services.admin.console.page import Visitor, render
from services.admin.freezes.service import list_freezes
from services.admin.identity.auth import Deps

router = APIRouter(include_in_schema=False)
_MOST = 100


@router.get("/limits")
def limits(request: Request, deps: Deps, principal: Visitor) -> Response:
    """Budgets, SLA classes and the change freezes that stand."""
    visible = principal.namespaces()
    standing = {"namespaces": visible, "namespace": None, "is_standing": True}
    return render(
        request,
        "limits.html",
        principal,
        budgets=service.list_budgets(deps, visible),
        classes=list_classes(deps, {"namespaces": visible}, _MOST, None).items,
        freezes=list_freezes(deps, standing, _MOST, None).items,
    )
