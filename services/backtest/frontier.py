"""Cost of each violation rate on the replayed trace, for Harmony and its rivals.

Every setting of every policy is run over the same replay with the same start-up luck as the
comparison as deployed, with enough GPUs for all.

Shapes: G settings, W workloads, R replayed steps, B blocks of them, S sample paths, H horizon.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from decider import LeadTimeBelief, predictive_draws
from services.backtest.controller import N_DRAWS, PRIOR_STARTS
from services.backtest.predictors import Trained
from services.backtest.replay_forecasts import ReplayForecasts
from services.kernel.errors import InvalidInput
from services.simulator import HistoryRun, deployment_spec
from services.simulator.course import Course
from services.simulator.engine.pod import EnginePod, draw_start
from services.simulator.fleet import Fleet, FleetWorkload
from services.simulator.fleet.arrays import FloatArray
from services.simulator.fleet_course import measured_demand
from services.simulator.grid_run import GridRun, PathsAt, simulate_grid
from services.simulator.policies.grid import GridPolicy
from services.simulator.policies.oracle import OracleGrid
from services.simulator.policies.predictive.known_laws import LawsByTime
from services.simulator.policies.predictive.planned import PlannedGrid
from services.simulator.policies.rivals import PRICES, rivals
from services.simulator.run import ORACLE_LEAD_Z

Tell = Callable[[str], None]

DEFAULT_RIVALS = ("hpa", "trailing_percentile", "static_peak")
N_STARTS = 512
"""Start-up times drawn per workload; later starts use them again."""
BLOCK_STEPS = 288
MIN_BLOCKS = 10
"""Of what is resampled: longer than an episode of high demand, and enough of them."""


@dataclass(frozen=True, slots=True, eq=False)
class PolicyFrontier:
    """A policy's settings on the replay.

    Attributes:
        name: The policy.
        labels: G settings in words.
        rate: (G,) share of known time out of SLA, mean over workloads.
        cost_usd: (G,) cost of the whole replay.
        hours_out: (G,) workload-hours out of SLA.
        block_rate: (G, B) what each of B blocks of the replay adds to `rate`.
        block_cost_usd: (G, B) and to `cost_usd`.
        unserved: (G,) share of the demand that was not served, mean over workloads; NaN without
            any demand.
    """

    name: str
    labels: tuple[str, ...]
    rate: FloatArray
    cost_usd: FloatArray
    hours_out: FloatArray
    block_rate: FloatArray
    block_cost_usd: FloatArray
    unserved: FloatArray

    def to_json(self) -> list[dict[str, Any]]:
        """One object per setting."""
        unserved = (known_share(float(one)) for one in self.unserved)
        rows = zip(self.labels, self.rate, self.cost_usd, self.hours_out, unserved, strict=True)
        return [
            {
                "setting": label,
                "violation_rate": round(float(rate), 6),
                "cost_usd": round(float(cost), 2),
                "hours_out_of_sla": round(float(hours), 4),
                "unserved": share,
            }
            for label, rate, cost, hours, share in rows
        ]


def known_share(share: float) -> float | None:
    """A share as documents hold it; None: it is not known."""
    return round(share, 6) if math.isfinite(share) else None


def check_policies(names: Sequence[str]) -> None:
    """Refuse unknown rivals.

    Raises:
        InvalidInput: A name is none of `services.simulator.policies.rivals`.
    """
    known = rivals(60.0)
    for name in names:
        if name not in known:
            raise InvalidInput(f"policy {name!r} is unknown; known: {', '.join(known)}")


def frontiers(
    fleet: Fleet,
    history: HistoryRun,
    trained: Trained,
    names: Sequence[str] = DEFAULT_RIVALS,
    tell: Tell = lambda _: None,
) -> tuple[PolicyFrontier, ...]:
    """Frontiers of Harmony, of the named rivals and of the oracle (one point).

    Args:
        fleet: A replayed trace: its indicators do not depend on the allocation.
        history: Where every policy starts from.
        trained: Predictors; those that would serve.
        names: Rivals, see `check_policies`.
        tell: Called with what is being done.

    Raises:
        ValueError: The fleet is no trace.
        InvalidInput: A rival is unknown.
    """
    if fleet.has_closed_loop:
        raise ValueError("frontiers need a trace: here the indicators follow from the allocation")
    check_policies(names)
    course = replay_course(fleet, history)
    known = rivals(float(fleet.step_s))
    found = []
    tell("frontier of harmony")
    said = ReplayForecasts(fleet, history, trained)
    own = planner(fleet, trained.config.window.horizon, said)
    found.append(_run(fleet, own, course, said.paths_at))
    for name in names:
        tell(f"frontier of {name}")
        found.append(_run(fleet, known[name], course))
    lead_s = max(w.startup.quantile_s(ORACLE_LEAD_Z) for w in fleet.workloads)
    n_future = 2 + math.ceil(lead_s / fleet.step_s)
    oracle = simulate_grid(OracleGrid(lead_s), course, n_future=n_future)
    return (*found, score_grid(fleet, oracle))


def replay_course(fleet: Fleet, history: HistoryRun) -> Course:
    """The replay as the grid simulator runs it: the engine's own start-up luck."""
    seen, n = measured_demand(fleet), fleet.n_history
    demand = fleet.demand[:, n:]
    return Course(
        history=seen[:, :n],
        demand=demand,
        is_live=np.ones(demand.shape, dtype=bool),
        capacity=fleet.capacity,
        capacity_factor=np.ones(demand.shape),
        min_replicas=np.array([float(w.min_replicas) for w in fleet.workloads]),
        max_replicas=np.array([float(w.max_replicas) for w in fleet.workloads]),
        initial=np.asarray(history.last_spec, dtype=float),
        lead_s=_leads(fleet),
        start_s=float(fleet.replay_start_s),
        step_s=float(fleet.step_s),
        seen=seen[:, n:],
    )


def _leads(fleet: Fleet) -> FloatArray:
    """(W, N) start-up times of every workload."""
    return np.stack([start_times_s(owner, fleet.seed) for owner in fleet.workloads])


def start_times_s(owner: FleetWorkload, seed: int) -> FloatArray:
    """(N,) start-up times, crashed first starts included, as the engine draws them."""
    spec = deployment_spec(owner, 0)
    leads = np.empty(N_STARTS)
    for n in range(N_STARTS):
        pod = EnginePod(spec.key, n, spec.gpu_type, spec.gpus_per_pod, spec.startup, 0.0)
        first_s, second_s = draw_start(seed, pod)
        again_s = 0.0 if second_s is None else spec.startup.restart_s + second_s
        leads[n] = first_s + again_s
    return leads


def planner(fleet: Fleet, n_ahead: int, laws: LawsByTime) -> PlannedGrid:
    """Harmony's planner at a grid of prices of risk; all else is as `HarmonyController` has it.

    Args:
        fleet: Workloads.
        n_ahead: Steps that are forecast, all of which it plans.
        laws: What it integrates.
    """
    beliefs = [
        LeadTimeBelief.from_median(w.startup.median_s, w.startup.sigma, PRIOR_STARTS)
        for w in fleet.workloads
    ]
    lead_time_s = np.stack([predictive_draws(belief, N_DRAWS) for belief in beliefs])
    return PlannedGrid(PRICES, lead_time_s, horizon=n_ahead, laws=laws)


def _run(
    fleet: Fleet, policy: GridPolicy[Any], course: Course, paths_at: PathsAt | None = None
) -> PolicyFrontier:
    return score_grid(fleet, simulate_grid(policy, course, paths_at))


def score_grid(fleet: Fleet, run: GridRun) -> PolicyFrontier:
    """Rates and costs of a grid over the replay; a workload without known demand has no rate."""
    known = np.isfinite(fleet.demand[:, fleet.n_history :])
    n_known = known.sum(axis=1)
    out = (run.violation_ratio * known).sum(axis=2)
    rows = n_known > 0
    usd_per_step = fleet.gpus_per_replica * fleet.price_usd_per_gpu_hour * fleet.step_s / 3600.0
    share = (run.violation_ratio * known)[:, rows] / n_known[rows][:, None]
    demanded = np.where(known, fleet.demand[:, fleet.n_history :], 0.0).sum(axis=1)
    has_demand = demanded > 0
    unserved = (run.unserved * known).sum(axis=2)[:, has_demand] / demanded[has_demand]
    return PolicyFrontier(
        run.name,
        run.labels,
        np.asarray((out[:, rows] / n_known[rows]).mean(axis=1), dtype=float),
        np.asarray(run.asked.sum(axis=2) @ usd_per_step, dtype=float),
        np.asarray(out.sum(axis=1) * fleet.step_s / 3600.0, dtype=float),
        _blocks(share.mean(axis=1)),
        _blocks(np.einsum("gwt,w->gt", run.asked, usd_per_step)),
        unserved.mean(axis=1, dtype=float) if has_demand.any() else np.full(len(out), np.nan),
    )


def _blocks(values: FloatArray) -> FloatArray:
    """(G, R) to (G, B): sums over blocks of the replay, the last of which may be shorter."""
    n_per_block = max(1, min(BLOCK_STEPS, values.shape[1] // MIN_BLOCKS))
    starts = np.arange(0, values.shape[1], n_per_block)
    return np.asarray(np.add.reduceat(values, starts, axis=1), dtype=float)
