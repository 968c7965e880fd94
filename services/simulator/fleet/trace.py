"""Turns a trace into a fleet: one grid, capacity scaled, history and replay split."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np

from services.kernel.domain import IndicatorSpec
from services.simulator.fleet.arrays import FloatArray
from services.simulator.fleet.fleet import Fleet, FleetWorkload, StartupProfile, bounds_for
from services.simulator.fleet.profiles import PRICE_USD_PER_GPU_HOUR
from services.simulator.fleet.resample import aligned, panel, resampled
from services.simulator.fleet.trace_file import TraceFile, TraceSeries
from services.simulator.fleet.trace_metadata import TraceError

TRACE_STARTUP = StartupProfile(median_s=75.0, sigma=0.35, fail_probability=0.004)
MIN_KNOWN_HISTORY = 0.5
MIN_KNOWN_REPLAY = 0.5


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
class DroppedWorkload:
    """A workload of the file that is not replayed, and why."""

    workload: str
    reason: str


@dataclass(frozen=True, slots=True)
class _ReplayGrid:
    """Steps that a file is replayed on; its clock is shifted by `shift_s` onto them."""

    name: str
    start_s: int
    step_s: int
    n_history: int
    shift_s: int


@dataclass(frozen=True, slots=True)
class LoadedTrace:
    """A fleet, and the workloads that could not be part of it."""

    fleet: Fleet
    dropped: tuple[DroppedWorkload, ...]


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
    end_s = _best_end(gridded, j_demand, n_replay, step_s)
    start_s = min(int(s.time_s[0]) for s in gridded)
    n_history = (end_s - start_s) // step_s - n_replay
    if options.max_history_steps is not None:
        n_history = min(n_history, options.max_history_steps)
    if n_history < options.min_history_steps:
        raise TraceError(
            f"{name} is too short: {max(n_history, 0)} steps of {step_s} s before the "
            f"replay of {options.replay_hours:.2g} h; {options.min_history_steps} are needed "
            f"({options.min_history_steps * step_s / 3600:.3g} h)"
        )
    start_s = end_s - (n_history + n_replay) * step_s
    panels = [panel(s, start_s, n_history + n_replay, step_s) for s in gridded]

    kept: dict[str, FloatArray] = {}
    dropped = []
    for s, rows in zip(gridded, panels, strict=True):
        reason = _unusable(rows[:, j_demand], n_history)
        if reason is None:
            kept[s.workload] = rows
        else:
            dropped.append(DroppedWorkload(s.workload, reason))
    if not kept:
        reasons = "; ".join(f"{d.workload}: {d.reason}" for d in dropped[:3])
        raise TraceError(f"{name}: no workload can be replayed ({reasons})")
    fleet = _fleet(trace, kept, options, _ReplayGrid(name, start_s, step_s, n_history, shift_s))
    return LoadedTrace(fleet, tuple(dropped))


def _best_end(series: list[TraceSeries], j_demand: int, n_replay: int, step_s: int) -> int:
    """The end of the replay that keeps most known demand, in workloads known in the replay."""
    ends = sorted({int(s.time_s[-1]) + step_s for s in series})

    def n_kept(end_s: int) -> int:
        replay_s = end_s - n_replay * step_s
        total = 0
        for s in series:
            known_s = s.time_s[np.isfinite(s.values[:, j_demand]) & (s.time_s < end_s)]
            if (known_s >= replay_s).sum() >= MIN_KNOWN_REPLAY * n_replay:
                total += known_s.size
        return total

    return max(ends, key=lambda end_s: (n_kept(end_s), end_s))


def _unusable(demand: FloatArray, n_history: int) -> str | None:
    history, replay = demand[:n_history], demand[n_history:]
    known = history[np.isfinite(history)]
    if known.size < MIN_KNOWN_HISTORY * history.size:
        return f"demand known in {known.size} of {history.size} history steps"
    n_replay_known = int(np.isfinite(replay).sum())
    if n_replay_known < MIN_KNOWN_REPLAY * replay.size:
        return f"demand known in {n_replay_known} of {replay.size} replayed steps"
    if np.nanmin(demand) < 0:
        return "negative demand"
    if not np.any(known > 0):
        return "no demand in the history: always zero"
    if float(known.max()) == float(known.min()):
        return "constant demand in the history"
    return None


def _indicator_name(column: str) -> str:
    name = re.sub(r"[^a-z0-9_]", "_", column.lower())[:63]
    return name if name[:1].isalpha() else f"x_{name}"[:63]


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
    kept: Mapping[str, FloatArray],
    options: TraceOptions,
    grid: _ReplayGrid,
) -> Fleet:
    indicators = tuple(
        IndicatorSpec(
            name=_indicator_name(c.name), level=cast(Literal[1, 2, 3], c.level), unit=c.unit
        )
        for c in trace.columns
    )
    j_demand = [c.name for c in trace.columns].index(trace.demand)
    taken: set[str] = set()
    workloads = []
    for name, rows in kept.items():
        demand = rows[:, j_demand]
        capacity = float(np.nanmean(demand[: grid.n_history])) / options.mean_replicas
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
    values = np.stack(list(kept.values()))
    notes = [
        f"Capacity per replica is scaled so that the history's mean demand ({trace.demand}) needs "
        f"{options.mean_replicas:g} replicas; GPUs, prices and start-up times are assumed.",
    ]
    if grid.shift_s:
        notes.append(f"The trace's clock is shifted by {grid.shift_s} s onto the step grid.")
    return Fleet(
        label=f"{grid.name}: {trace.title}" if trace.title != grid.name else grid.name,
        seed=options.seed,
        step_s=grid.step_s,
        start_s=grid.start_s,
        n_history=grid.n_history,
        workloads=tuple(workloads),
        demand=values[:, :, j_demand].copy(),
        values=np.where(np.isfinite(values), values, np.nan),
        observed=np.isfinite(values),
        has_closed_loop=False,
        notes=tuple(notes),
    )
