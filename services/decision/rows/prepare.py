"""From a shard's rows to the decider's requests; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from sqlalchemy import RowMapping

from decider import FloatArray, MissDraws, ShardRequest, WorkloadInput, reach_steps
from services.decision.rows import translate
from services.decision.rows.few_bits import few_bits, response_in_few_bits
from services.decision.rows.inputs import (
    ShardRows,
    capacity_of,
    counts_further,
    further_of,
    lead_time_of,
    learned_capacity,
    response_of,
    variants_of,
    workload_input,
)
from services.decision.rows.loads import further_paths_of, to_further_paths
from services.decision.rows.members import ShardMember
from services.decision.rows.pools import PoolView, paths_by_load, pool_views


@dataclass(frozen=True, slots=True, eq=False)
class RequestRow:
    """One row of a request: a workload, or one of its pools.

    Attributes:
        service: The workload.
        member: The same, or its pool as a workload of its own.
        forecast: The forecast that its paths came from.
        paths: (S, H) paths of its demand.
        further: (F, S, H) paths of its further loads; None: there are none, or they lack some.
        given: What is known of it but for its large arrays.
        capacity: (P,) draws.
        lead_time_s: (P,) draws.
        response: What was learned of its requests, of a pool that of the whole; None: nothing.
        is_capacity_learned: Its draws of capacity were learned; else they are as stated.
    """

    service: ShardMember
    member: ShardMember
    forecast: RowMapping
    paths: FloatArray
    further: FloatArray | None
    given: WorkloadInput
    capacity: FloatArray
    lead_time_s: FloatArray
    response: MissDraws | None
    is_capacity_learned: bool


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request and what its rows came from; the pools of a workload stand side by side."""

    request: ShardRequest
    rows: tuple[RequestRow, ...]

    @property
    def members(self) -> tuple[ShardMember, ...]:
        """What each row is about."""
        return tuple(row.member for row in self.rows)


def prepare(
    members: Mapping[int, ShardMember],
    forecasts: Sequence[RowMapping],
    rows: ShardRows,
    now: datetime,
) -> list[Prepared]:
    """Build one request per step length, forecast shape and reach.

    What no GPU budget counts is decided by itself, so that nobody makes room for it.
    """
    groups: dict[tuple[int, ...], list[RequestRow]] = {}
    for stored in forecasts:
        member = members[int(stored["workload_id"])]
        forecast = translate.of_present_loads(stored, member.spec)
        found = _rows_of(member, forecast, rows, now)
        reach = _reach(float(forecast["step_s"]), found)
        key = (int(forecast["step_s"]), member.is_budgeted, *found[0].paths.shape, reach)
        groups.setdefault(key, []).extend(found)
    return [_prepared(float(key[0]), key[-1], group) for key, group in groups.items()]


def _reach(step_s: float, found: Sequence[RequestRow]) -> int:
    """Steps that a workload's decision looks ahead: what its slowest pool asks for."""
    horizon = int(found[0].paths.shape[-1])
    if not found[0].given.forecast_rung:
        return horizon  # nothing is forecast that could go on
    return max(
        reach_steps(row.given.history, few_bits(row.lead_time_s), step_s, horizon) for row in found
    )


def _prepared(step_s: float, reach: int, group: Sequence[RequestRow]) -> Prepared:
    responses = tuple(response_in_few_bits(row.response) for row in group)
    request = ShardRequest(
        tuple(row.given for row in group),
        np.stack([row.paths for row in group]),
        few_bits(np.stack([row.capacity for row in group])),
        few_bits(np.stack([row.lead_time_s for row in group])),
        step_s,
        responses=() if all(one is None for one in responses) else responses,
        further_paths=further_paths_of([row.further for row in group]),
        quantiles=tuple(translate.to_quantiles(row.forecast) for row in group),
        reach=reach,
    )
    return Prepared(request, tuple(group))


def _rows_of(
    member: ShardMember, forecast: RowMapping, rows: ShardRows, now: datetime
) -> list[RequestRow]:
    """The row of a workload, or those of its pools."""
    if not member.spec.pools:
        paths, further = translate.to_paths(forecast), to_further_paths(forecast, member.spec)
        return [_row(member, rows, forecast, now, paths, further)]
    by_load = paths_by_load(forecast, member.spec.further_loads)
    return [_pool_row(member, view, forecast, now, by_load) for view in pool_views(member, rows)]


def _row(
    member: ShardMember,
    rows: ShardRows,
    forecast: RowMapping,
    now: datetime,
    paths: FloatArray,
    further: FloatArray | None,
) -> RequestRow:
    variants = variants_of(member, rows, now) if member.spec.variants else None
    is_bound = counts_further(member, rows, further)
    given = workload_input(member, variants, forecast, rows, now)
    return RequestRow(
        service=member,
        member=member,
        forecast=forecast,
        paths=paths,
        further=further,
        given=replace(given, further_capacity=further_of(member, rows) if is_bound else ()),
        capacity=capacity_of(member, rows),
        lead_time_s=lead_time_of(member, rows, now, variants),
        response=response_of(member, rows, is_bound),
        is_capacity_learned=learned_capacity(member, rows) is not None,
    )


def _pool_row(
    member: ShardMember,
    view: PoolView,
    forecast: RowMapping,
    now: datetime,
    by_load: Sequence[FloatArray],
) -> RequestRow:
    """The row of a pool; what of its loads was not forecast is unknown in it, never left out."""
    first, *others = (by_load[load] for load in view.place.loads)
    further = np.stack(others) if others else None
    found = _row(view.member, view.rows, forecast, now, first, further)
    return replace(
        found,
        service=member,
        given=replace(found.given, pool=view.place),
        response=view.response,
    )
