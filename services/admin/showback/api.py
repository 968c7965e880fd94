"""Routes of showback."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query, Response

from services.admin.identity.auth import Deps, Reader
from services.admin.rest.filters import WorkloadFilters
from services.admin.rest.problems import PROBLEMS
from services.admin.rest.route import Router
from services.admin.rest.times import Instant
from services.admin.showback import schemas, service
from services.admin.showback.service import ShowbackQuery

CSV = "text/csv; charset=utf-8"

router = Router(prefix="/v1", tags=["showback"], responses=PROBLEMS, dependencies=[Reader])


async def showback_query(
    of: WorkloadFilters,
    by: Annotated[
        str,
        Query(max_length=330, description="`namespace`, or `label=NAME`", examples=["label=team"]),
    ] = "namespace",
    from_at: Annotated[
        Instant | None, Query(description="Start, inclusive; default: a week before `to_at`")
    ] = None,
    to_at: Annotated[Instant | None, Query(description="End, exclusive; default: now")] = None,
) -> ShowbackQuery:
    """What names a team, of which workloads, and when."""
    return ShowbackQuery(by, from_at, to_at, of)


Asked = Annotated[ShowbackQuery, Depends(showback_query)]


@router.get("/showback")
def get_showback(deps: Deps, query: Asked) -> schemas.Showback:
    """Dollars and GPU-hours per team, by namespace or by a label of the workloads.

    A workload's whole cost goes to the team that its labels name now.
    """
    return service.get_showback(deps, query)


@router.get(
    "/showback.csv", response_class=Response, responses={200: {"content": {"text/csv": {}}}}
)
def get_showback_csv(deps: Deps, query: Asked) -> Response:
    """The same as CSV, a line per team."""
    return Response(service.get_showback_csv(deps, query), media_type=CSV)
