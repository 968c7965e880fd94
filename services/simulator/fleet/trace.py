"""Turns a trace into a fleet: one grid, capacity scaled, history and replay split."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import chain
from typing import Literal, cast

import numpy as np

from services.kernel.domain import IndicatorSpec
from services.simulator.fleet.fleet import Fleet, FleetWorkload, StartupProfile, bounds_for
from services.simulator.fleet.profiles import PRICE_USD_PER_GPU_HOUR
from services.simulator.fleet.replay_span import (
    DroppedWorkload,
    SortedOut,
    SpanSearch,
    latest_usable,
    whole,
)
from services.simulator.fleet.resample import aligned, resampled
from services.simulator.fleet.trace_file import TraceFile
from services.simulator.fleet.trace_metadata import TraceError

TRACE_STARTUP = StartupProfile(median_s=75.0, sigma=0.35, fail_probability=0.004)
LONGEST_NAME = 63
"""Characters of an indicator's name at most."""


@dataclass(frozen=True, slots=True)
class TraceOptions:
    """Options of a replayed trace.

    Attributes:
        step_s: Coarser step to resample to; default: the file's own.
        replay_hours: Length of the replay, at the end of the file.
        max_history_steps: Newest history steps to keep; default: all.
        min_history_steps: Fewest history steps to accept.
        mean_replicas: Capacity is scaled so that the mean demand of the history needs this many.
        gpu_type: GPU model assumed for every workload.
        startup: Start-up time assumed for every workload.
        seed: Seed of the start-up luck.
        epsilon: Promised fraction of time out of SLA.
    """

    step_s: int | None = None
    replay_hours: float = 24.0
    max_history_steps: int | None = None
    min_history_steps: int = 288
    mean_replicas: float = 10.0
    gpu_type: str = "H100"
    startup: StartupProfile = TRACE_STARTUP
    seed: int = 7
    epsilon: float = 0.01

    def __post_init__(self) -> None:
        """Check the options."""
        if not 0 < self.replay_hours < math.inf:
            raise TraceError(f"replay_hours={self.replay_hours} must be > 0, and have an end")
        if self.mean_replicas <= 0:
            raise TraceError(f"mean_replicas={self.mean_replicas} must be > 0")


@dataclass(frozen=True, slots=True)
class _Source:
    """A trace's name, the end of its data, and what its clock was shifted by onto the steps."""

    name: str
    last_s: int
    shift_s: int


@dataclass(frozen=True, slots=True)
class LoadedTrace:
    """A fleet, the workloads that could not be part of it, and when its replay ends, in words."""

    fleet: Fleet
    dropped: tuple[DroppedWorkload, ...]
    end_said: str


def fleet_of(trace: TraceFile, name: str, options: TraceOptions | None = None) -> LoadedTrace:
    """A fleet that replays a trace.

    Args:
        trace: The trace.
        name: A short name for it.
        options: How it is replayed.

    Raises:
        TraceError: With one line naming what is wrong.
    """
    options = options or TraceOptions()
    step_s = options.step_s or trace.interval_s
    search, shift_s = _search(trace, name, options)
    spans = search.spans()
    latest = next(spans, None)
    if latest is None:
        n_history = (search.last_s - search.first_s) // step_s - search.n_replay
        raise TraceError(
            f"{name} is too short: {max(n_history, 0)} steps of {step_s} s before the "
            f"replay of {options.replay_hours:.4g} h; {options.min_history_steps} are needed "
            f"({options.min_history_steps * step_s / 3600:.4g} h)"
        )
    found = latest_usable(search, chain([latest], spans))
    _check_demand(found, search, name)
    return _loaded(trace, options, found, _Source(name, search.last_s, shift_s))


def _check_demand(found: SortedOut, search: SpanSearch, name: str) -> None:
    """Refuse a replay in which nobody asks for anything: any policy would do.

    Raises:
        TraceError: It is one; with the hours that reach back to the last demand.
    """
    if not found.kept:
        return
    demand = np.nan_to_num(np.stack([rows[:, search.j_demand] for rows in found.kept.values()]))
    last = int(np.flatnonzero((demand > 0).any(axis=0))[-1])
    if last >= found.span.n_history:
        return
    hours, back = (n * search.step_s / 3600 for n in (search.n_replay, demand.shape[1] - last))
    raise TraceError(
        f"{name} has no demand in the {hours:.4g} h that would be replayed; the last lies "
        f"{back:.4g} h before their end: replay more hours, or data that end earlier"
    )


def whole_fleet_of(trace: TraceFile, name: str) -> LoadedTrace:
    """A fleet of all workloads of a trace that have a demand, from its first step to its last.

    Raises:
        TraceError: With one line naming what is wrong.
    """
    options = TraceOptions()
    search, shift_s = _search(trace, name, options)
    if search.last_s - search.first_s <= search.step_s:
        raise TraceError(f"{name} is too short: one step of {search.step_s} s; two are needed")
    return _loaded(trace, options, whole(search), _Source(name, search.last_s, shift_s))


def _search(trace: TraceFile, name: str, options: TraceOptions) -> tuple[SpanSearch, int]:
    """A trace on the grid of steps, and what its clock was shifted by."""
    step_s = options.step_s or trace.interval_s
    if step_s % trace.interval_s:
        raise TraceError(
            f"step {step_s} s: {name} has an interval of {trace.interval_s} s, "
            "the step must be a multiple of it"
        )
    series, shift_s = aligned(trace, step_s)
    is_flow = np.array([c.is_flow for c in trace.columns])
    gridded = [resampled(s, trace.interval_s, step_s, is_flow) for s in series]
    n_replay = max(1, round(options.replay_hours * 3600 / step_s))
    j_demand = [c.name for c in trace.columns].index(trace.demand)
    least, most = options.min_history_steps, options.max_history_steps
    return SpanSearch(gridded, j_demand, step_s, n_replay, least, most), shift_s


def _loaded(
    trace: TraceFile, options: TraceOptions, found: SortedOut, source: _Source
) -> LoadedTrace:
    if not found.kept:
        reasons = "; ".join(f"{d.workload}: {d.reason}" for d in found.dropped[:3])
        raise TraceError(f"{source.name}: no workload can be replayed ({reasons})")
    span = found.span
    fleet = _fleet(trace, found, options, source)
    return LoadedTrace(fleet, found.dropped, span.end_said(source.last_s, source.shift_s))


def _indicator_name(column: str, taken: set[str]) -> str:
    """A unique name of an indicator: columns of which only other signs differ stay apart."""
    base = re.sub(r"[^a-z0-9_]", "_", column.lower())[:LONGEST_NAME]
    base = base if base[:1].isalpha() else f"x_{base}"[:LONGEST_NAME]
    name, n = base, 2
    while name in taken:
        ending = f"_{n}"
        name, n = f"{base[: LONGEST_NAME - len(ending)]}{ending}", n + 1
    taken.add(name)
    return name


def _object_name(workload: str, taken: set[str]) -> str:
    """A unique Kubernetes object name."""
    base = re.sub(r"[^a-z0-9]+", "-", workload.lower()).strip("-")[:50] or "workload"
    name, n = base, 2
    while name in taken:
        name, n = f"{base}-{n}", n + 1
    taken.add(name)
    return name


def _fleet(
    trace: TraceFile,
    found: SortedOut,
    options: TraceOptions,
    source: _Source,
) -> Fleet:
    named: set[str] = set()
    indicators = tuple(
        IndicatorSpec(
            name=_indicator_name(c.name, named), level=cast(Literal[1, 2, 3], c.level), unit=c.unit
        )
        for c in trace.columns
    )
    j_demand, span = [c.name for c in trace.columns].index(trace.demand), found.span
    taken: set[str] = set()
    workloads = []
    for name, rows in found.kept.items():
        demand = rows[:, j_demand]
        capacity = float(np.nanmean(demand[: span.n_history])) / options.mean_replicas
        low, high = bounds_for(demand, capacity)
        workloads.append(
            FleetWorkload(
                namespace="trace",
                name=_object_name(name, taken),
                kind="trace",
                gpu_type=options.gpu_type,
                gpus_per_replica=1,
                capacity_per_replica=capacity,
                demand=indicators[j_demand].name,
                indicators=indicators,
                min_replicas=low,
                max_replicas=high,
                startup=options.startup,
                price_usd_per_gpu_hour=PRICE_USD_PER_GPU_HOUR.get(options.gpu_type, 2.50),
                epsilon=options.epsilon,
            )
        )
    values = np.stack(list(found.kept.values()))
    notes = [
        f"Capacity per replica is scaled so that the history's mean demand ({trace.demand}) needs "
        f"{options.mean_replicas:g} replicas; GPUs, prices and start-up times are assumed.",
    ]
    if source.shift_s:
        notes.append(f"The trace's clock is shifted by {source.shift_s} s onto the step grid.")
    return Fleet(
        label=f"{source.name}: {trace.title}" if trace.title != source.name else source.name,
        seed=options.seed,
        step_s=span.step_s,
        start_s=span.start_s,
        n_history=span.n_history,
        workloads=tuple(workloads),
        demand=values[:, :, j_demand].copy(),
        values=np.where(np.isfinite(values), values, np.nan),
        observed=np.isfinite(values),
        has_closed_loop=False,
        notes=tuple(notes),
    )
