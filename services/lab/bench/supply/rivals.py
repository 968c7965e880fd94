"""The rivals: HPA alone, HPA with fixed headroom, KEDA with cron; grids of their settings.

Each decides as often as in life, on the demand of the last complete minute. Which setting is best
is known in hindsight.

Shapes: G settings, W services, T steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeVar

import numpy as np

from services.lab.bench.supply.cluster import SupplyCluster
from services.lab.bench.supply.demand import STEP_S, SupplyTask
from services.lab.bench.supply.nodes import Reserve
from services.lab.bench.supply.options import CRON, HEADROOM, HPA
from services.lab.bench.supply.run_figures import SettingFigures
from services.simulator.fleet.arrays import FloatArray
from services.simulator.policies.grid import GridPolicy, GridView
from services.simulator.policies.history import duration_text
from services.simulator.policies.reactive.hpa import HpaGrid
from services.simulator.policies.reactive.keda import KedaGrid
from services.simulator.policies.view import replicas_for

HPA_S = 15.0
"""Seconds from one decision to the next; of KEDA too, which acts by an HPA from one replica on."""
HOUR_S, HOURS = 3600.0, 24
ALONE_PERCENT = (12, 16, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 75, 80, 90)
WITH_PERCENT = (35, 40, 45, 50, 55, 60, 65, 70, 75, 80, 90)
CRON_PERCENT = (35, 45, 55, 65, 75, 85)
HEADROOM_GPUS = (4, 8, 12, 16, 24, 32, 48)
"""Placeholders beside `WITH_PERCENT`; none at all beside all of `ALONE_PERCENT`."""
CRON_LEVELS = (0.5, 0.8, 0.95, 1.0)
CRON_MARGINS = (1.0, 1.2)
CRON_STARTUPS = (0, 1, 2)
"""How many start-ups of a node a schedule begins before its hour."""
QUICK_SETTINGS = 12

MakeCluster = Callable[[], SupplyCluster]
CellT = TypeVar("CellT")


@dataclass(frozen=True, slots=True, eq=False)
class HourlyMinima:
    """Scheduled minima by the hour of the day, UTC.

    Attributes:
        floors: (G, HOURS, W) minimum of each hour.
        early_s: (G,) seconds before its hour from which a minimum holds.
    """

    floors: FloatArray
    early_s: FloatArray

    def at(self, now_s: float) -> FloatArray:
        """(G, W) the largest minimum that holds: of the hour, and of those that begin soon.

        Args:
            now_s: Epoch seconds.
        """
        setting = np.arange(self.early_s.size)
        n_hours = int(np.ceil(self.early_s.max() / HOUR_S))
        ends = [np.minimum(k * HOUR_S, self.early_s) for k in range(n_hours + 1)]
        hours = [((now_s + end_s) // HOUR_S).astype(int) % HOURS for end_s in ends]
        return np.asarray(np.max([self.floors[setting, hour] for hour in hours], axis=0))


@dataclass(frozen=True, slots=True, eq=False)
class SupplyRival:
    """A rival's grid.

    Attributes:
        name: In tables.
        policy: What decides, for all settings at once.
        cadence_s: Seconds between its decisions.
        labels: G settings in words.
        reserve_gpus: GPUs of placeholder pods of each setting; empty: none.
        minima: Scheduled minima of each setting; None: there are none.
    """

    name: str
    policy: GridPolicy[Any]
    cadence_s: float
    labels: tuple[str, ...]
    reserve_gpus: tuple[int, ...] = ()
    minima: HourlyMinima | None = None


def supply_rivals(task: SupplyTask, startup_s: float, *, is_quick: bool) -> dict[str, SupplyRival]:
    """All rivals.

    Args:
        task: The fleet, whose history the schedules are learned from.
        startup_s: Median of the time that a node takes: schedules may begin earlier by it.
        is_quick: A dozen settings of each alone.
    """
    return {
        HPA: _alone(is_quick),
        HEADROOM: _with_headroom(is_quick),
        CRON: _scheduled(task, startup_s, is_quick),
    }


def _alone(is_quick: bool) -> SupplyRival:
    percent = [float(p) for p in _few(ALONE_PERCENT, is_quick)]
    labels = tuple(f"target {p:g} %" for p in percent)
    return SupplyRival(HPA, HpaGrid(np.array(percent)), HPA_S, labels)


def _with_headroom(is_quick: bool) -> SupplyRival:
    """HPA alone is among its settings: in hindsight the best headroom may be none."""
    every = [*((p, 0) for p in ALONE_PERCENT), *product(WITH_PERCENT, HEADROOM_GPUS)]
    cells = _few(every, is_quick)
    return SupplyRival(
        HEADROOM,
        HpaGrid(np.array([float(p) for p, _ in cells])),
        HPA_S,
        tuple(f"target {p} %, {gpus} GPUs ready" for p, gpus in cells),
        tuple(gpus for _, gpus in cells),
    )


def _scheduled(task: SupplyTask, startup_s: float, is_quick: bool) -> SupplyRival:
    """Who knows that nodes take minutes begins before the hour."""
    every = list(product(CRON_PERCENT, CRON_LEVELS, CRON_MARGINS, CRON_STARTUPS))
    cells = _few(every, is_quick)
    floors = {(q, m): cron_floors(task, q, m) for _, q, m, _ in cells}
    early_s = [n * startup_s for *_, n in cells]
    return SupplyRival(
        CRON,
        KedaGrid(np.array([float(p) for p, *_ in cells])),
        HPA_S,
        tuple(
            f"target {p} %, p{100 * q:g} of the hour x {m:g}"
            + (f", {duration_text(s)} early" if s else "")
            for (p, q, m, _), s in zip(cells, early_s, strict=True)
        ),
        minima=HourlyMinima(np.stack([floors[q, m] for _, q, m, _ in cells]), np.array(early_s)),
    )


def _few(settings: Sequence[CellT], is_quick: bool) -> list[CellT]:
    """All settings, or a dozen spread over them."""
    n = min(len(settings), QUICK_SETTINGS) if is_quick else len(settings)
    return [settings[int(at)] for at in np.linspace(0, len(settings) - 1, n)]


def cron_floors(task: SupplyTask, level: float, margin: float) -> FloatArray:
    """(HOURS, W) replicas for a quantile of the history's demand in each hour of the day, UTC.

    Args:
        task: The fleet.
        level: Of the quantile, over all minutes of the hour on all days.
        margin: What it is multiplied by.
    """
    fleet = task.fleet
    at_s = fleet.start_s + STEP_S * np.arange(fleet.n_history)
    hour = (at_s // HOUR_S) % HOURS
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
    if rival.minima is not None:
        least = np.maximum(least, rival.minima.at(fleet.replay_start_s + now_s))
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
