"""The rivals: HPA alone, HPA with fixed headroom, KEDA with cron; grids of their settings.

Each decides as often as in life, on the demand of the last complete minute. Which setting is best
is known in hindsight.

Shapes: G settings, W services, T steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np

from services.lab.bench.supply.cluster import SupplyCluster
from services.lab.bench.supply.demand import STEP_S, SupplyTask
from services.lab.bench.supply.nodes import Reserve
from services.lab.bench.supply.options import CRON, HEADROOM, HPA
from services.lab.bench.supply.run_figures import SettingFigures
from services.simulator.fleet.arrays import FloatArray
from services.simulator.policies.grid import GridPolicy, GridView
from services.simulator.policies.reactive.hpa import HpaGrid
from services.simulator.policies.reactive.keda import KedaGrid
from services.simulator.policies.view import replicas_for

HPA_S, KEDA_S = 15.0, 30.0
"""Seconds from one decision to the next."""
ALONE_PERCENT = (12, 16, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 75, 80, 90)
WITH_PERCENT = (35, 40, 45, 50, 55, 60, 65, 70, 75, 80, 90)
CRON_PERCENT = (35, 45, 55, 65, 75, 85)
HEADROOM_GPUS = (4, 8, 12, 16, 24, 32, 48)
CRON_LEVELS = (0.5, 0.8, 0.95, 1.0)
CRON_MARGINS = (1.0, 1.2)
HOURS = 24

MakeCluster = Callable[[], SupplyCluster]


@dataclass(frozen=True, slots=True, eq=False)
class SupplyRival:
    """A rival's grid.

    Attributes:
        name: In tables.
        policy: What decides, for all settings at once.
        cadence_s: Seconds between its decisions.
        labels: G settings in words.
        reserve_gpus: GPUs of placeholder pods of each setting; empty: none.
        floors: (G, HOURS, W) scheduled minima by hour of the day; None: there are none.
    """

    name: str
    policy: GridPolicy[Any]
    cadence_s: float
    labels: tuple[str, ...]
    reserve_gpus: tuple[int, ...] = ()
    floors: FloatArray | None = field(default=None)


def supply_rivals(task: SupplyTask, *, is_quick: bool) -> dict[str, SupplyRival]:
    """All rivals.

    Args:
        task: The fleet, whose history the schedules are learned from.
        is_quick: Every fourth setting alone.
    """
    stride = 4 if is_quick else 1
    alone = [float(p) for p in ALONE_PERCENT[::stride]]
    held = list(product(WITH_PERCENT, HEADROOM_GPUS))[::stride]
    timed = list(product(CRON_PERCENT, CRON_LEVELS, CRON_MARGINS))[::stride]
    return {
        HPA: SupplyRival(
            HPA, HpaGrid(np.array(alone)), HPA_S, tuple(f"target {p:g} %" for p in alone)
        ),
        HEADROOM: SupplyRival(
            HEADROOM,
            HpaGrid(np.array([float(p) for p, _ in held])),
            HPA_S,
            tuple(f"target {p} %, {gpus} GPUs ready" for p, gpus in held),
            tuple(gpus for _, gpus in held),
        ),
        CRON: SupplyRival(
            CRON,
            KedaGrid(np.array([float(p) for p, _, _ in timed])),
            KEDA_S,
            tuple(f"target {p} %, p{100 * q:g} of the hour x {m:g}" for p, q, m in timed),
            floors=np.stack([cron_floors(task, q, m) for _, q, m in timed]),
        ),
    }


def cron_floors(task: SupplyTask, level: float, margin: float) -> FloatArray:
    """(HOURS, W) replicas for a quantile of the history's demand in each hour of the day, UTC.

    Args:
        task: The fleet.
        level: Of the quantile, over all minutes of the hour on all days.
        margin: What it is multiplied by.
    """
    fleet = task.fleet
    at_s = fleet.start_s + STEP_S * np.arange(fleet.n_history)
    hour = (at_s // 3600) % HOURS
    history = task.seen[:, : fleet.n_history]
    found = np.zeros((HOURS, fleet.n_workloads))
    most = np.array([w.max_replicas for w in fleet.workloads], dtype=float)
    for h in range(HOURS):
        for w, row in enumerate(history[:, hour == h]):
            known = row[np.isfinite(row)]
            if known.size:
                load = margin * float(np.quantile(known, level))
                found[h, w] = replicas_for(load, fleet.capacity[w])
    return np.asarray(np.minimum(found, most))


def run_rival(
    task: SupplyTask, rival: SupplyRival, make_cluster: MakeCluster
) -> list[SettingFigures]:
    """Let a rival decide over the replay, each of its settings on a cluster of its own."""
    clusters = [make_cluster() for _ in rival.labels]
    for cluster, gpus in zip(clusters, rival.reserve_gpus, strict=False):
        cluster.hold(Reserve(gpus))
    state = rival.policy.initial_state()
    for tick in range(round(task.fleet.n_replay * STEP_S / rival.cadence_s)):
        now_s = tick * rival.cadence_s
        view = _view(task, rival, clusters, now_s)
        wanted, state = rival.policy.decide(view, state)
        changed = (wanted != view.replicas).any(axis=1)
        for cluster, counts, is_changed in zip(clusters, wanted, changed, strict=True):
            if is_changed:
                cluster.scale(counts.tolist())
            cluster.advance(now_s + rival.cadence_s)
    return [
        SettingFigures(rival.name, label, cluster.ledger.figures(), cluster.pool.n_refused)
        for label, cluster in zip(rival.labels, clusters, strict=True)
    ]


def _view(
    task: SupplyTask, rival: SupplyRival, clusters: Sequence[SupplyCluster], now_s: float
) -> GridView:
    fleet = task.fleet
    until = fleet.n_history + int(now_s // STEP_S)
    spec = np.stack([cluster.spec for cluster in clusters])
    ready = np.stack([cluster.ready for cluster in clusters])
    least = np.array([float(w.min_replicas) for w in fleet.workloads])
    if rival.floors is not None:
        hour = int((fleet.replay_start_s + now_s) // 3600) % HOURS
        least = np.maximum(least, rival.floors[:, hour])
    return GridView(
        fleet.replay_start_s + now_s,
        rival.cadence_s,
        task.seen[:, until - 1 : until],
        ready,
        spec - ready,
        spec,
        fleet.capacity,
        least,
        np.array([float(w.max_replicas) for w in fleet.workloads]),
    )
