"""Use cases of forecasts at several origins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from services.admin.deps import AdminDeps
from services.admin.rest.cursors import page_of, position
from services.admin.rest.schemas import Page
from services.admin.rest.service import WorkloadKey, find_workload
from services.admin.rest.times import Window
from services.admin.series import repository, translate
from services.admin.series.fans_schemas import FansView, FanView, OriginView
from services.kernel.errors import InvalidInput, NotFound

MAX_SPAN_STEPS = 5_000


@dataclass(frozen=True, slots=True)
class FansQuery:
    """Origins asked for: those in `origins`, or `n` of them `every` steps apart up to `until`.

    Attributes:
        until: None: the newest.
        n_context: Steps of demand before the first origin.
    """

    origins: Sequence[datetime] = ()
    n: int = 6
    every: int = 12
    until: datetime | None = None
    n_context: int = 48


def get_fans(deps: AdminDeps, key: WorkloadKey, query: FansQuery) -> FansView:
    """Fans at several origins, with the demand before, between and after them.

    Raises:
        NotFound: No such workload, or no forecast at any of the origins.
        InvalidInput: The origins lie too far apart.
    """
    with deps.reading() as connection:
        workload = find_workload(connection, key)
        step = timedelta(seconds=workload.step_s)
        origins = list(query.origins)
        if not origins:
            until = query.until or deps.clock.now()
            newest = repository.load_newest_origin(connection, workload.id, until)
            if newest is None:
                raise NotFound(f"workload {key} has no forecast up to {until}")
            origins = [newest - step * query.every * i for i in range(query.n)]
        _check_span(origins, step)
        rows = repository.load_forecasts_at(connection, workload.id, origins)
        if not rows:
            raise NotFound(f"workload {key} has no forecast at {origins[0].isoformat()}")
        end = max(row["origin_at"] + step * row["n_horizon"] for row in rows)
        window = Window(rows[0]["origin_at"] - step * (query.n_context - 1), end)
        names = [workload.spec.demand]
        demand = repository.load_indicators(connection, workload.id, names, window)
    return FansView(
        step_s=workload.step_s,
        unit=translate.load_unit(workload.spec, workload.spec.demand),
        capacity_per_replica=workload.spec.capacity.per_replica,
        fans=[FanView.model_validate(translate.fan_values(row)) for row in rows],
        observed=translate.to_observed(demand),
    )


def _check_span(origins: Sequence[datetime], step: timedelta) -> None:
    span = (max(origins) - min(origins)) / step
    if span > MAX_SPAN_STEPS:
        raise InvalidInput(
            f"origin_at: the origins span {span:.0f} steps, at most {MAX_SPAN_STEPS} may; ask for "
            "less at once"
        )


def list_origins(
    deps: AdminDeps,
    key: WorkloadKey,
    filters: dict[str, Any],
    limit: int,
    cursor: str | None,
) -> Page[OriginView]:
    """Forecasts of a workload without their quantiles, newest first.

    Raises:
        NotFound: No such workload.
    """
    filters = filters | position(cursor, (datetime, int))
    with deps.reading() as connection:
        workload = find_workload(connection, key)
        rows = repository.load_origins(connection, workload.id, filters, limit + 1)
    by = ("origin_at", "id")
    return page_of(Page[OriginView], rows, limit, by, translate.to_origin)
