"""Demand by the minute: a made-up fleet, the demo's real demand, and a public trace.

Shapes: W services, T steps, C coarse steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from services.kernel.clock import make_rng
from services.kernel.errors import InvalidInput
from services.lab.bench.race.bridge import Bridge, bridged
from services.lab.bench.supply.cluster import ServiceStart
from services.lab.bench.supply.options import SupplyOptions
from services.lab.demo.options import REAL_DEMAND
from services.simulator.fleet import (
    Fleet,
    FleetOptions,
    TraceError,
    TraceOptions,
    fleet_of,
    generate_fleet,
)
from services.simulator.fleet.arrays import FloatArray
from services.simulator.fleet.fleet import bounds_for
from services.simulator.measurements import read_file
from services.simulator.policies.view import replicas_for

STEP_S = 60
GPU_TYPE = "H100"
GPUS_PER_NODE = 8
HISTORY_DAYS = 7
_STEPS_A_DAY = 86_400 // STEP_S
_INITIAL_RATIO = 1.25
MADE, SERVEGEN, GENTD26 = "made", "servegen", "gentd26"
_MINUTES_FILE = "gentd26_requests_1min.parquet"
"""A public trace that has minutes (docs/traces.md); the demo's has ten of them in a step."""


@dataclass(frozen=True, slots=True, eq=False)
class SupplyTask:
    """A fleet and what is replayed of it.

    Attributes:
        source: Where the demand is from.
        seed: Of it.
        fleet: Services of one GPU type, in steps of a minute.
        n_warm_up: Steps of the replay that are not counted.
        seen: (W, n_history + T) demand as it was measured; NaN where it was not.
    """

    source: str
    seed: int
    fleet: Fleet
    n_warm_up: int
    seen: FloatArray

    @property
    def services(self) -> tuple[ServiceStart, ...]:
        """W services as the cluster knows them."""
        return tuple(
            ServiceStart(w.gpus_per_replica, w.startup.median_s, w.startup.sigma)
            for w in self.fleet.workloads
        )

    @property
    def need(self) -> FloatArray:
        """(W, T) replicas that hold the demand of each replayed step; NaN where it is unknown."""
        demand = self.fleet.demand[:, self.fleet.n_history :]
        return replicas_for(demand, self.fleet.capacity[:, None])

    @property
    def initial(self) -> tuple[int, ...]:
        """(W,) replicas at the start: a quarter more than the history's last hour needed."""
        last = self.fleet.demand[:, self.fleet.n_history - 60 : self.fleet.n_history]
        is_known = np.isfinite(last)
        total = np.where(is_known, last, 0.0).sum(axis=1)
        level = _INITIAL_RATIO * total / np.maximum(is_known.sum(axis=1), 1)
        counts = np.maximum(1.0, replicas_for(level, self.fleet.capacity))
        return tuple(int(n) for n in counts)

    @property
    def most_nodes(self) -> int:
        """Nodes that hold every service at its upper bound at once."""
        gpus = sum(w.max_replicas * w.gpus_per_replica for w in self.fleet.workloads)
        return -(-gpus // GPUS_PER_NODE) + 1


def supply_tasks(options: SupplyOptions) -> list[SupplyTask]:
    """All fleets of a run: each source by each seed.

    Raises:
        InvalidInput: Real demand cannot be used.
    """
    return [
        SupplyTask(source, seed, fleet, round(options.warm_up_s / STEP_S), seen_demand(fleet))
        for seed in options.seeds
        for source, fleet in _fleets(options, seed)
    ]


def seen_demand(fleet: Fleet) -> FloatArray:
    """(W, T) demand as it was measured; NaN where it was not."""
    rows = []
    for i, workload in enumerate(fleet.workloads):
        at = [each.name for each in workload.indicators].index(workload.demand)
        rows.append(np.where(fleet.observed[i, :, at], fleet.values[i, :, at], np.nan))
    return np.stack(rows)


def _fleets(options: SupplyOptions, seed: int) -> list[tuple[str, Fleet]]:
    found = [(MADE, _made(options, seed))]
    if options.is_quick:
        return found
    found.append((SERVEGEN, _real(REAL_DEMAND, options, seed)))
    minutes = None if options.data_dir is None else options.data_dir / _MINUTES_FILE
    if minutes is not None and minutes.exists():
        found.append((GENTD26, _real(minutes, options, seed)))
    return found


def _made(options: SupplyOptions, seed: int) -> Fleet:
    """A generated fleet; its meters are those that do not depend on who scales it."""
    n_history = (1 if options.is_quick else HISTORY_DAYS) * _STEPS_A_DAY
    wanted = FleetOptions(
        seed=seed,
        n_workloads=options.n_services,
        step_s=STEP_S,
        n_history=n_history,
        n_replay=_n_replay(options),
    )
    fleet = replace(generate_fleet(wanted), has_closed_loop=False)
    return replace(fleet, workloads=tuple(replace(w, gpu_type=GPU_TYPE) for w in fleet.workloads))


def _n_replay(options: SupplyOptions) -> int:
    return round((options.warm_up_s + options.counted_s) / STEP_S)


def _real(path: Path, options: SupplyOptions, seed: int) -> Fleet:
    wanted = TraceOptions(
        replay_hours=(options.warm_up_s + options.counted_s) / 3600.0,
        max_history_steps=None,
        gpu_type=GPU_TYPE,
        seed=seed,
    )
    try:
        found = read_file(path)
        fleet = fleet_of(found.trace, found.name, wanted).fleet
    except TraceError as error:
        raise InvalidInput(f"real demand {path.name}: {error}") from error
    first = slice(options.n_services)
    fleet = replace(
        fleet,
        workloads=fleet.workloads[first],
        demand=fleet.demand[first],
        values=fleet.values[first],
        observed=fleet.observed[first],
    )
    return in_minutes(fleet, seed)


def in_minutes(fleet: Fleet, seed: int) -> Fleet:
    """A fleet in steps of a minute, its demand as its only indicator, and a week of history.

    Within longer steps the demand walks about their means, as rough as it is from step to step
    (`services.lab.bench.race.bridge`).

    Raises:
        InvalidInput: Its steps are no whole minutes.
    """
    n, rest = divmod(fleet.step_s, STEP_S)
    if rest or n < 1:
        raise InvalidInput(f"{fleet.label}: steps of {fleet.step_s} s are no whole minutes")
    rng = make_rng(seed, "bench", "supply", "bridge")
    demand = bridged(fleet.demand, n, Bridge.WALK, fleet.n_history, rng)
    cut = max(0, fleet.n_history * n - HISTORY_DAYS * _STEPS_A_DAY)
    demand = demand[:, cut:]
    workloads = []
    for workload, row in zip(fleet.workloads, demand, strict=True):
        low, high = bounds_for(row, workload.capacity_per_replica)
        own = tuple(each for each in workload.indicators if each.name == workload.demand)
        workloads.append(replace(workload, indicators=own, min_replicas=low, max_replicas=high))
    return replace(
        fleet,
        step_s=STEP_S,
        start_s=fleet.start_s + cut * STEP_S,
        n_history=fleet.n_history * n - cut,
        workloads=tuple(workloads),
        demand=demand,
        values=demand[:, :, None].copy(),
        observed=np.isfinite(demand)[:, :, None],
    )
