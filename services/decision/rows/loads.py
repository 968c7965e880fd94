"""Loads of a workload beside its demand, and what they add up to; pure.

Further loads enter what is scored and shown as one equivalent demand: the demand that alone would
use a replica as much as they do together. Where one of them is unknown, so is it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from sqlalchemy import RowMapping

from decider import FloatArray, MissDraws, equivalent_demand
from services.decision.rows.translate import has_paths
from services.kernel.domain import WorkloadSpec
from services.kernel.domain.path_bytes import unpack_loads

Sampled = tuple[FloatArray, FloatArray]
"""Step starts (epoch seconds, ascending) and values of a series."""
NONE_FURTHER: Mapping[str, Sampled] = {}


def further_capacity(spec: WorkloadSpec) -> tuple[float, ...]:
    """(F,) stated capacities of the further loads."""
    return tuple(load.per_replica for load in spec.capacity.also_bound_by)


def stated_capacity(spec: WorkloadSpec) -> FloatArray:
    """(1+F,) stated capacities of the demand and the further loads."""
    return np.array([spec.capacity.per_replica, *further_capacity(spec)])


def to_further_paths(row: RowMapping, spec: WorkloadSpec) -> FloatArray | None:
    """(F, S, H) paths of the further loads of a forecast; None: it lacks some, or there is none."""
    return paths_of_loads(row, spec.further_loads)


def paths_of_loads(row: RowMapping, wanted: Sequence[str]) -> FloatArray | None:
    """(F, S, H) paths of some further loads of a forecast row; None: it lacks one, or no one is."""
    names = list(row["further_names"] or ())
    if not wanted or set(wanted) - set(names) or not has_paths(row):
        return None
    scales = np.array(row["further_scales"] or [], dtype=float)
    if scales.size != len(names):
        return None
    try:
        stored = unpack_loads(
            row["further_paths"] or b"", len(names), int(row["n_paths"]), int(row["n_horizon"])
        )
    except ValueError:  # a row that is broken has none, and `missing_loads` names all
        return None
    at = [names.index(name) for name in wanted]
    return np.asarray(stored.astype(np.float64)[at] * scales[at, None, None])


def to_demand_alone(draws: MissDraws) -> MissDraws:
    """The response to the demand while the further loads are none."""
    if draws.n_further == 0:
        return draws
    return MissDraws(draws.capacity, draws.slope, draws.floor, draws.concentration)


def further_paths_of(further: Sequence[FloatArray | None]) -> tuple[FloatArray | None, ...]:
    """Paths of the further loads by row; empty where no row has any."""
    if all(one is None for one in further):
        return ()
    return tuple(further)


def missing_loads(row: RowMapping, spec: WorkloadSpec) -> list[str]:
    """Further loads that a forecast row without paths of all of them lacks; all if it is broken."""
    known = set(row["further_names"] or ()) if has_paths(row) else set()
    return [n for n in spec.further_loads if n not in known] or list(spec.further_loads)


def missing_words(missing: Sequence[str], spec: WorkloadSpec, *, is_observed: bool) -> str:
    """What a decision went by whose forecast lacks some further loads.

    Args:
        missing: These loads.
        spec: The workload.
        is_observed: They were observed; otherwise nothing is known of them.
    """
    named = ", ".join(missing)
    if is_observed:
        return f"no forecast of {named}: decided by the loads observed so far"
    return f"nothing is known of {named}: decided by {spec.demand} alone"


def stacked(demand: Sampled, further: Mapping[str, Sampled], spec: WorkloadSpec) -> FloatArray:
    """(N, 1+F) loads at the steps of the demand; NaN where one was not observed."""
    at_s, values = demand
    columns = [np.asarray(values, dtype=float)]
    columns += [values_at(further.get(name), at_s) for name in spec.further_loads]
    return np.stack(columns, axis=1)


def values_at(series: Sampled | None, at_s: FloatArray) -> FloatArray:
    """(N,) values at step starts; NaN where there is none."""
    found = np.full(at_s.size, np.nan)
    if series is None or series[0].size == 0:
        return found
    steps_s, values = series
    near = np.minimum(np.searchsorted(steps_s, at_s - 0.5), steps_s.size - 1)
    same = np.abs(steps_s[near] - at_s) < 0.5
    found[same] = values[near[same]]
    return found


def remeasured(demand: Sampled, loads: Mapping[str, Sampled], spec: WorkloadSpec) -> FloatArray:
    """(N,) demand by the query that it has now, where that says any; else as it was.

    Args:
        demand: Starts of N steps, and the demand per ready replica as it was measured then.
        loads: Loads per ready replica by name; without the demand nothing is known of it.
        spec: The workload.
    """
    steps_s, before = demand
    now = values_at(loads.get(spec.demand), steps_s)
    return np.where(np.isfinite(now) & (now > 0), now, before)


def added_up(loads: FloatArray, spec: WorkloadSpec, draws: MissDraws | None = None) -> FloatArray:
    """(N,) equivalent demand of loads (N, 1+F).

    By the response where one is known: by the median over its draws of the capacities relative to
    that for the demand. Else by the stated capacities, of which the tightest binds. NaN where a
    load is unknown or impossible.

    Args:
        loads: The demand and the further loads, all of the workload or all per ready replica.
        spec: The workload.
        draws: What load does to its requests.
    """
    found = np.full(loads.shape[0], np.nan)
    known = (np.isfinite(loads) & (loads >= 0)).all(axis=1)
    if not known.any():
        return found
    if draws is not None and draws.n_further == len(spec.further_loads):
        ratio = np.median(draws.further / draws.capacity[:, None], axis=0)
        sharing = float(np.median(draws.sharing))
        found[known] = equivalent_demand(loads[known], np.array([1.0, *ratio]), sharing)
    else:
        found[known] = equivalent_demand(loads[known], stated_capacity(spec))
    return found


def binding_shares(loads: FloatArray, capacity: FloatArray) -> FloatArray:
    """(1+F,) how often each load takes the largest share of its own capacity.

    Args:
        loads: (N, 1+F) known loads per ready replica, at least one step.
        capacity: (P, 1+F) draws of what a replica carries of each alone.
    """
    most = (loads[None, :, :] / capacity[:, None, :]).argmax(axis=2)
    return np.asarray(np.bincount(most.ravel(), minlength=loads.shape[1]) / most.size)
