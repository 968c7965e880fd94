"""Each pool of a workload as a workload of its own, with its part of the rows; pure.

All that is done with a workload's rows is then done with a pool's. The operator tells the pools'
replicas apart in the snapshots, and a decision says what it asked of each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from sqlalchemy import RowMapping

from decider import FloatArray, ForecastArrays, MissDraws, PoolPlace
from services.decision.rows import lead_times, translate
from services.decision.rows.inputs import ShardRows
from services.decision.rows.loads import Sampled, paths_of_loads
from services.decision.rows.members import ShardMember
from services.decision.rows.variants import leaving_of_part
from services.kernel.domain import PoolSpec, part_spec
from services.kernel.domain.part_specs import ordered_loads


@dataclass(frozen=True, slots=True)
class PoolView:
    """A pool as a workload of its own.

    Attributes:
        member: The pool, under the id of its workload.
        rows: Its part of the shard's rows.
        place: Where it belongs.
        response: What was learned of the whole workload's requests; None: nothing.
    """

    member: ShardMember
    rows: ShardRows
    place: PoolPlace
    response: MissDraws | None


def pool_views(member: ShardMember, rows: ShardRows) -> tuple[PoolView, ...]:
    """Every pool of a workload, in order."""
    return tuple(_view(member, pool, rows) for pool in member.spec.pools)


def _view(member: ShardMember, pool: PoolSpec, rows: ShardRows) -> PoolView:
    spec, key = part_spec(member.spec, pool), member.id
    loads = tuple(member.spec.loads.index(name) for name in ordered_loads(member.spec, pool))
    response = rows.responses.get(key)
    series = dict(rows.further.get(key, {}))
    if key in rows.demand:
        series[member.spec.demand] = rows.demand[key]
    part = replace(
        rows,
        demand={key: series[spec.demand]} if spec.demand in series else {},
        further={key: _only(series, spec.further_loads)},
        states={key: _states(rows.states.get(key, ()), pool.name)},
        changes={key: _changes(member, pool, rows)},
        starts={key: [s for s in rows.starts.get(key, ()) if s["gpu_type"] == pool.gpu_type]},
        recommendations={key: _recommendations(rows.recommendations.get(key, ()), pool.name)},
        lead_time_s=_lead_times(member, pool, rows),
        responses={} if response is None else {key: response.to_pool(loads, spec)},
    )
    return PoolView(
        replace(member, name=f"{member.name}/{pool.name}", spec=spec),
        part,
        PoolPlace(member.key, pool.name, loads),
        None if response is None else response.draws,
    )


def _only(series: Mapping[str, Sampled], names: Sequence[str]) -> dict[str, Sampled]:
    return {name: series[name] for name in names if name in series}


def _as_row(values: dict[str, Any]) -> RowMapping:
    """Columns of a pool in the place of a row's."""
    return cast(RowMapping, values)


def _states(states: Sequence[RowMapping], name: str) -> list[RowMapping]:
    """Snapshots of a pool; none where the newest does not know it: it was not seen."""
    if not states or name not in (states[-1]["variants"] or {}):
        return []
    seen = [(s["observed_at"], (s["variants"] or {}).get(name)) for s in states]
    return [
        _as_row(
            {
                "observed_at": at,
                "spec_replicas": found["spec"],
                "ready_replicas": found["ready"],
                "starting_replicas": found["starting"],
                "pending_replicas": found["pending"],
                "start_ages_s": found["start_ages_s"],
                "schedulable_gpus": found["schedulable_gpus"],
                "new_node_gpus": found.get("new_node_gpus"),
                "warm_gpus": found.get("warm_gpus"),
                "leaving_replicas": leaving_of_part(found),
                "spot_replicas": (found.get("spot") or {}).get("replicas"),
                "spot_nodes": (found.get("spot") or {}).get("nodes"),
            }
        )
        for at, found in seen
        if found is not None
    ]


def _asked(decision: RowMapping, name: str) -> Mapping[str, Any] | None:
    """What a decision asked of a pool; None: it did not know it."""
    return next((one for one in decision["variants"] or () if one["name"] == name), None)


def _recommendations(earlier: Sequence[RowMapping], name: str) -> list[RowMapping]:
    return [
        _as_row({**row, "raw_replicas": own["raw"], "desired_replicas": own["desired"]})
        for row in earlier
        if (own := _asked(row, name)) is not None and "raw" in own
    ]


def _changes(member: ShardMember, pool: PoolSpec, rows: ShardRows) -> list[RowMapping]:
    """What was made of a pool; where an action does not tell it, what its decision asked for."""
    decisions = {row["id"]: row for row in rows.recommendations.get(member.id, ())}
    found = []
    for change in rows.changes.get(member.id, ()):
        if change["parts"] is not None:
            made = (each for each in change["parts"] if each["name"] == pool.name)
            found += [
                _as_row({**change, "from_replicas": each["from"], "to_replicas": each["to"]})
                for each in made
            ]
            continue
        decision = decisions.get(change["decision_id"])
        own = None if decision is None else _asked(decision, pool.name)
        if own is not None:
            counts = {"from_replicas": own["current"], "to_replicas": own["desired"]}
            found.append(_as_row({**change, **counts}))
    return found


def _lead_times(member: ShardMember, pool: PoolSpec, rows: ShardRows) -> dict[str, FloatArray]:
    """Fitted lead times, the workload's own being that of the pool's GPU type."""
    own = lead_times.own_scope(member.id)
    scopes = [lead_times.own_scope(member.id, pool.gpu_type)]
    if len({one.gpu_type for one in member.spec.pools}) == 1:
        scopes.append(own)
    found = {scope: draws for scope, draws in rows.lead_time_s.items() if scope != own}
    fitted = next((rows.lead_time_s[s] for s in scopes if s in rows.lead_time_s), None)
    return found if fitted is None else found | {own: fitted}


def paths_by_load(forecast: RowMapping, further_loads: Sequence[str]) -> tuple[FloatArray, ...]:
    """(S, H) paths of every load of a workload; NaN where the forecast lacks it."""
    demand, further = translate.to_paths(forecast), paths_of_loads(forecast, further_loads)
    if further is None:
        unknown = np.full(demand.shape, np.nan)
        return (demand, *(unknown for _ in further_loads))
    return (demand, *further)


def to_forecast_arrays(
    forecast: RowMapping, further_loads: Sequence[str], *, has_pools: bool
) -> ForecastArrays:
    """What a decision takes from its forecast, from the row.

    Args:
        forecast: The row.
        further_loads: Further loads of the workload, in the order of its spec.
        has_pools: Every load counts. Without pools further loads count where all are forecast.
    """
    named = tuple(further_loads)
    if not has_pools and paths_of_loads(forecast, named) is None:
        named = ()
    loads = np.stack(paths_by_load(forecast, named))
    return ForecastArrays(loads, named, translate.to_quantiles(forecast))
