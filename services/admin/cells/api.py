"""The route of cells."""

from __future__ import annotations

from fastapi import Depends

from services.admin.cells import service
from services.admin.cells.schemas import CellView, PeersView, SharesView
from services.admin.identity.auth import AsReader, Deps, Reader, require
from services.admin.rest.params import Cursor, Limit
from services.admin.rest.problems import PROBLEMS
from services.admin.rest.route import Router
from services.admin.rest.schemas import Page
from services.kernel.security.keys import Role

router = Router(prefix="/v1/cells", tags=["cells"], responses=PROBLEMS, dependencies=[Reader])


@router.get("")
def list_cells(deps: Deps, limit: Limit = 50, cursor: Cursor = None) -> Page[CellView]:
    """Clusters that share this database: workloads, GPUs, prices, how fresh their decisions are.

    Sums over each cluster that the caller may see something of; no workload is named.
    """
    return service.page_cells(deps, limit, cursor)


@router.get("/peers")
def list_peers(deps: Deps, principal: AsReader) -> PeersView:
    """Cells of the other databases that HARMONY_PEERS names, as they answer within six seconds.

    Of one that does not answer since when; none for a caller with rights in some clusters only.
    """
    return service.list_peers(deps, principal)


@router.get("/shares", dependencies=[Depends(require(Role.VIEWER))])
def get_shares(deps: Deps) -> SharesView:
    """What other databases of cells read of this one, to exchange GPUs of a total by price."""
    return service.shares(deps)
