"""The page of cells."""

from __future__ import annotations

from dataclasses import replace

from fastapi import APIRouter, Request, Response

from services.admin.cells import service
from services.admin.clusters import RequestCell
from services.admin.console.page import Visitor, render
from services.admin.identity.auth import Deps

router = APIRouter(include_in_schema=False)


@router.get("/cells")
def cells(request: Request, deps: Deps, principal: Visitor) -> Response:
    """Every cluster that the visitor may see, side by side."""
    seen = request.state.seen_clusters
    found = service.list_cells(replace(deps, cell=RequestCell()))
    return render(
        request,
        "cells.html",
        principal,
        cells=[each for each in found if each.cluster in seen],
        peers=service.list_peers(deps, principal).items,
    )
