"""The route of cells."""

from __future__ import annotations

from services.admin.cells import service
from services.admin.cells.schemas import CellView
from services.admin.identity.auth import Deps, Reader
from services.admin.rest.params import Cursor, Limit
from services.admin.rest.problems import PROBLEMS
from services.admin.rest.route import Router
from services.admin.rest.schemas import Page

router = Router(prefix="/v1/cells", tags=["cells"], responses=PROBLEMS, dependencies=[Reader])


@router.get("")
def list_cells(deps: Deps, limit: Limit = 50, cursor: Cursor = None) -> Page[CellView]:
    """Clusters that share this database: workloads, GPUs, prices, how fresh their decisions are.

    Sums over each cluster that the caller may see something of; no workload is named.
    """
    return service.page_cells(deps, limit, cursor)
