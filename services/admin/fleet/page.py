"""The fleet's page: all workloads with their live state, filtered and sorted by the address."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from services.admin.approvals.service import list_inbox
from services.admin.console.in_cluster import with_cluster
from services.admin.console.page import Visitor, query_text, render
from services.admin.decisions import wording
from services.admin.deps import AdminDeps
from services.admin.identity.auth import Deps
from services.admin.rest.schemas import Page
from services.admin.workloads import schemas, service
from services.admin.workloads.translate import WorkloadStanding, standing_of
from services.kernel.security.keys import Principal

router = APIRouter(include_in_schema=False)
_PAGE_SIZE = 200
_CHUNK = 500
MAX_SORTED = 2_000
"""Workloads that are read to sort or filter by live state; of more, the first by name."""
_MAX_WAITING = 50

Sort = Literal["name", "demand", "desired", "violation", "budget", "cost", "decided"]
State = Literal["", "paused", "fallback", "over"]
Mode = Literal["", "Auto", "Approval", "Advisory"]
STATES = (
    ("", "Any state"),
    ("over", "Over their promise"),
    ("fallback", "On a fallback"),
    ("paused", "Paused"),
)


def is_on_fallback(item: WorkloadStanding) -> bool:
    """True where a rung below the best one answered last."""
    return not item.rungs <= wording.BEST_RUNGS


def is_over(item: WorkloadStanding) -> bool:
    """True where more was out of SLA than promised: as measured, or where nothing is, believed."""
    ratio = item.risk.violation_ratio
    return ratio is not None and ratio > item.risk.target


_IS: dict[str, Callable[[WorkloadStanding], bool]] = {
    "paused": lambda item: item.is_paused,
    "fallback": is_on_fallback,
    "over": is_over,
}
# what is sorted by, largest first; None, the unknown, always comes last
_KEYS: dict[str, Callable[[schemas.WorkloadView], float | None]] = {
    "demand": lambda item: item.demand,
    "desired": lambda item: item.last_decision.desired_replicas if item.last_decision else None,
    "violation": lambda item: item.risk.violation_ratio,
    "budget": lambda item: item.risk.budget_remaining,
    "cost": lambda item: item.cost_usd,
    "decided": lambda item: (
        item.last_decision.decided_at.timestamp() if item.last_decision else None
    ),
}
_LEAST_FIRST = {"budget"}
"""Sorted so that what needs a look comes first."""


@dataclass(frozen=True, slots=True)
class FleetQuery:
    """Filter and order of the workloads shown.

    Attributes:
        is_reversed: The other way round than usual for `sort`.
    """

    search: str = ""
    mode: Mode = ""
    state: State = ""
    sort: Sort = "name"
    is_reversed: bool = False
    cursor: str | None = None

    @property
    def is_live(self) -> bool:
        """True where it is about live state, by which the database cannot order."""
        return bool(self.mode or self.state) or self.sort != "name" or self.is_reversed

    def takes(self, item: WorkloadStanding) -> bool:
        """Check whether a workload is one of those asked for, by its mode and state.

        One that left is in no state any more.
        """
        is_so = not self.state or (item.is_active and _IS[self.state](item))
        return self.mode in ("", item.mode) and is_so

    def address(self, **changes: object) -> str:
        """The query string of this list, with changes; without a cursor it is its first page."""
        values: dict[str, object] = {
            "search": self.search,
            "mode": self.mode,
            "state": self.state,
            "sort": "" if self.sort == "name" else self.sort,
            "reverse": self.is_reversed,
        }
        return query_text(**(values | changes))

    def sorted_by(self, name: str) -> str:
        """The query string that sorts by a column; once more: the other way round."""
        is_same = name == self.sort
        sort = "" if name == "name" else name
        return self.address(sort=sort, reverse=is_same and not self.is_reversed)

    def direction(self, name: str) -> str | None:
        """`aria-sort` of a column; None: the list is not sorted by it."""
        if name != self.sort:
            return None
        is_ascending = (name in _LEAST_FIRST or name == "name") != self.is_reversed
        return "ascending" if is_ascending else "descending"


def fleet_query(
    search: Annotated[str, Query(max_length=200)] = "",
    mode: Mode = "",
    state: State = "",
    sort: Sort = "name",
    reverse: bool = False,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
) -> FleetQuery:
    """The query that the address holds."""
    return FleetQuery(search, mode, state, sort, reverse, cursor)


@router.get("/")
@router.get("/fleet")
def fleet(
    request: Request,
    deps: Deps,
    principal: Visitor,
    query: Annotated[FleetQuery, Depends(fleet_query)],
) -> Response:
    """The fleet with its live state; `/fleet` is the part that refreshes."""
    page, note = load(deps, principal, query)
    is_part = request.url.path == "/fleet"
    shown: dict[str, Any] = {"page": page, "note": note, "query": query}
    if is_part:
        response = render(request, "_fleet.html", principal, **shown)
    else:
        shown |= {"states": STATES} | _totals(deps, principal, query)
        response = render(request, "fleet.html", principal, **shown)
    if is_part:  # so that a link to what is shown can be copied
        address, cluster = "/" + query.address(cursor=query.cursor), deps.cell.name
        response.headers["HX-Replace-Url"] = with_cluster(address, cluster) if cluster else address
    return response


@router.get("/fleet/totals")
def totals(
    request: Request,
    deps: Deps,
    principal: Visitor,
    query: Annotated[FleetQuery, Depends(fleet_query)],
) -> Response:
    """Totals of all workloads asked for, on whichever page they stand: a part that refreshes."""
    return render(request, "_totals.html", principal, **_totals(deps, principal, query))


def _totals(deps: AdminDeps, principal: Principal, query: FleetQuery) -> dict[str, Any]:
    filters = {"search": query.search, "namespaces": principal.namespaces()}
    found = service.list_standings(deps, filters)
    return {
        "totals": fleet_totals([item for item in found if query.takes(item)]),
        "waiting": _waiting(deps, principal),
    }


@router.get("/fleet/trend")
def fleet_trend(
    request: Request,
    deps: Deps,
    principal: Visitor,
    search: Annotated[str, Query(max_length=200)] = "",
) -> Response:
    """GPUs, cost and what was saved in the last day, hour by hour: a part of the fleet's page."""
    found = service.get_trend(deps, {"search": search, "namespaces": principal.namespaces()})
    return render(
        request,
        "_trend.html",
        principal,
        hours=found.hours,
        saved=saved(found.hours),
        n_of_first=found.n_of_first,
    )


def saved(hours: list[schemas.SpentHour]) -> float | None:
    """Share that was saved against each workload held at its largest size; None: not known."""
    peak = sum(hour.held_usd for hour in hours)
    return 1 - sum(hour.cost_usd for hour in hours) / peak if peak > 0 else None


def _waiting(deps: AdminDeps, principal: Principal) -> str:
    filters = {"namespaces": principal.namespaces()}
    found = list_inbox(deps, filters, _MAX_WAITING, None)
    return f"{len(found.items)}{'+' if found.next_cursor else ''}"


def load(
    deps: AdminDeps, principal: Principal, query: FleetQuery
) -> tuple[Page[schemas.WorkloadView], str]:
    """A page of workloads, and a note on those left out."""
    filters = {"search": query.search, "namespaces": principal.namespaces()}
    if not query.is_live:
        return service.list_workloads(deps, filters, _PAGE_SIZE, query.cursor), ""
    items: list[schemas.WorkloadView] = []
    cursor: str | None = None
    while True:
        page = service.list_workloads(deps, filters, _CHUNK, cursor)
        items += page.items
        cursor = page.next_cursor
        if cursor is None or len(items) >= MAX_SORTED:
            break
    found = arrange(items, query)
    note = ""
    if cursor is not None:
        note = f"Only the first {len(items)} workloads by name were looked through. "
    if len(found) > _PAGE_SIZE:
        note += f"The first {_PAGE_SIZE} of {len(found)} are shown; narrow the list."
    return Page[schemas.WorkloadView](items=found[:_PAGE_SIZE]), note


def arrange(items: list[schemas.WorkloadView], query: FleetQuery) -> list[schemas.WorkloadView]:
    """The workloads asked for, in the order asked for; what is unknown comes last."""
    kept = [item for item in items if query.takes(standing_of(item))]
    if query.sort == "name":
        return kept[::-1] if query.is_reversed else kept
    key = _KEYS[query.sort]
    known = [(value, item) for item in kept if (value := key(item)) is not None]
    unknown = [item for item in kept if key(item) is None]
    is_falling = (query.sort in _LEAST_FIRST) == query.is_reversed
    known.sort(key=lambda pair: pair[0], reverse=is_falling)
    return [item for _, item in known] + unknown


def fleet_totals(items: list[WorkloadStanding]) -> dict[str, Any]:
    """Sums over workloads; what no workload knows stays unknown.

    Of those that left, their cost is in the sum of all, and beside it for itself.
    """
    left = [item for item in items if not item.is_active]
    cost_usd, left_usd = _cost_usd(items), _cost_usd(left)
    items = [item for item in items if item.is_active]
    gpus: dict[str, int] = {}
    for item in items:
        for gpu_type, held in (item.held_gpus or {}).items():
            gpus[gpu_type] = gpus.get(gpu_type, 0) + held
    return {
        "n_workloads": len(items),
        "gpus": gpus,
        "n_gpus": sum(gpus.values()),
        **_mean_ratios(items),
        "promised": max((item.risk.target for item in items), default=None),
        "cost_usd": cost_usd,
        "left_usd": left_usd,
        "n_left": sum(1 for item in left if item.cost_usd is not None),
        "n_over": sum(1 for item in items if is_over(item)),
        "n_fallback": sum(1 for item in items if is_on_fallback(item)),
        "n_paused": sum(1 for item in items if item.is_paused),
    }


def _cost_usd(items: list[WorkloadStanding]) -> float | None:
    costs = [item.cost_usd for item in items if item.cost_usd is not None]
    return sum(costs) if costs else None


def _mean_ratios(items: list[WorkloadStanding]) -> dict[str, Any]:
    """Means over time of what is measured and of what is believed, each of those that have it."""
    measured, believed = (
        [
            (ratio, item.risk.n_steps * item.step_s)
            for item in items
            if item.risk.source == source and (ratio := item.risk.violation_ratio) is not None
        ]
        for source in ("measured", "believed")
    )
    return {
        "measured": _weighted_mean(measured),
        "believed": _weighted_mean(believed),
        "n_measured": len(measured),
        "n_believed": len(believed),
    }


def _weighted_mean(ratios: list[tuple[float, int]]) -> float | None:
    known_s = sum(seconds for _, seconds in ratios)
    return sum(ratio * seconds for ratio, seconds in ratios) / known_s if known_s else None
