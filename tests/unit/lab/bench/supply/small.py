"""A fleet, a cluster and forecasts that are small enough to know what must come out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from forecaster.config import QUANTILE_LEVELS
from services.kernel.domain import IndicatorSpec
from services.lab.bench.supply.cluster import ServiceStart, SupplyCluster
from services.lab.bench.supply.demand import STEP_S, SupplyTask, seen_demand
from services.lab.bench.supply.ledger import SupplyFigures, SupplyLedger
from services.lab.bench.supply.luck import SupplyLuck
from services.lab.bench.supply.nodes import PoolRules
from services.lab.bench.supply.run_figures import SettingFigures
from services.lab.bench.supply.said import SupplyForecasts
from services.simulator.fleet.fleet import Fleet, FleetWorkload, StartupProfile

N_HISTORY, N_REPLAY, N_WARM_UP = 1440, 40, 10
RULES = PoolRules(gpus_per_node=8, most_nodes=6, startup_s=120.0, startup_sigma=0.0)
SERVICES = (ServiceStart(1, 30.0, 0.0), ServiceStart(2, 30.0, 0.0))


def luck(
    *,
    outages: tuple[tuple[float, float], ...] = (),
    notices: tuple[float, ...] = (),
    n_services: int = 2,
) -> SupplyLuck:
    """Every start takes its median."""
    return SupplyLuck(
        np.zeros(8),
        np.zeros((n_services, 8)),
        np.array(outages, dtype=float).reshape(-1, 2),
        np.array(notices, dtype=float),
        np.full(len(notices), 0.5),
    )


def cluster(
    initial: tuple[int, ...] = (2, 1),
    *,
    rules: PoolRules = RULES,
    given: SupplyLuck | None = None,
    n_steps: int = 60,
) -> SupplyCluster:
    need = np.ones((2, n_steps))
    ledger = SupplyLedger(need, float(STEP_S), 0)
    return SupplyCluster(SERVICES, rules, given or luck(), ledger, initial)


def workload(name: str, gpus: int, most: int = 20) -> FleetWorkload:
    return FleetWorkload(
        namespace="serving",
        name=name,
        kind="llm",
        gpu_type="H100",
        gpus_per_replica=gpus,
        capacity_per_replica=10.0,
        demand="load_rps",
        indicators=(IndicatorSpec(name="load_rps", level=1, unit="requests/s"),),
        min_replicas=1,
        max_replicas=most,
        startup=StartupProfile(median_s=30.0, sigma=0.2),
        price_usd_per_gpu_hour=2.0,
    )


def task(level: float = 35.0, amplitude: float = 0.0, *, n_replay: int = N_REPLAY) -> SupplyTask:
    """Two services whose demand is `level`, or a wave about it with a period of two hours."""
    at = np.arange(N_HISTORY + n_replay)
    row = level + amplitude * np.sin(2.0 * np.pi * at / 120.0)
    demand = np.stack([row, row])
    fleet = Fleet(
        label="small",
        seed=7,
        step_s=STEP_S,
        start_s=1_768_089_600,
        n_history=N_HISTORY,
        workloads=(workload("one", 1), workload("two", 2)),
        demand=demand,
        values=demand[:, :, None].copy(),
        observed=np.ones((*demand.shape, 1), dtype=bool),
        has_closed_loop=False,
    )
    return SupplyTask("small", 7, fleet, N_WARM_UP, seen_demand(fleet))


def with_gap(given: SupplyTask, first: int, last: int) -> SupplyTask:
    """The task with some replayed steps of the first service unknown."""
    demand = given.fleet.demand.copy()
    demand[0, N_HISTORY + first : N_HISTORY + last] = np.nan
    observed = given.fleet.observed.copy()
    observed[0, N_HISTORY + first : N_HISTORY + last] = False
    fleet = replace(given.fleet, demand=demand, observed=observed)
    return replace(given, fleet=fleet, seen=seen_demand(fleet))


def said(given: SupplyTask, spread: float = 0.05) -> SupplyForecasts:
    """Forecasts that know the level to come, with a spread."""
    fleet, rng = given.fleet, np.random.default_rng(5)
    shape = (fleet.n_replay, fleet.n_workloads, 50, 12)
    level = fleet.demand[:, fleet.n_history :].T[:, :, None, None]
    paths = level * np.exp(spread * rng.standard_normal(shape))
    levels = np.array(QUANTILE_LEVELS, dtype=float)
    quantiles = np.quantile(paths, levels, axis=2).transpose(1, 2, 0, 3)
    return SupplyForecasts(
        paths.astype(np.float32),
        levels,
        quantiles.astype(np.float32),
        (("prior",) * fleet.n_workloads,) * fleet.n_replay,
        np.full(fleet.n_replay, 0.5),
        np.zeros(fleet.n_replay),
    )


def setting(
    policy: str,
    rate: float,
    node_hours: float,
    *,
    promise: float | None = None,
    n_held: int | None = None,
    lead_times: tuple[int, int] = (0, 0),
    worst: float | None = None,
) -> SettingFigures:
    """Figures of two services that are out of SLA alike, or one of them for `worst` of the time."""
    high = rate if worst is None else worst
    rates = np.array([2.0 * rate - high, high])
    figures = SupplyFigures(rate, rates, node_hours, 8 * node_hours, 0.5)
    return SettingFigures(policy, "a setting", figures, 0, promise, n_held, *lead_times)
