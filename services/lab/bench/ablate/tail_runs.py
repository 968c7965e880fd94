"""Coverage and decisions of one trace under both tails, with intervals.

Decisions are integrated over the forecast's quantile function, as the service makes them
(docs/decisions/0035); the arms differ in what lies beyond its last level. Both live through the
same course, and are resampled together.

Shapes: T steps with forecasts, W workloads, Q levels, H steps ahead, G promises, R resamples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from forecaster.predict import TrainedModel
from services.kernel.clock import make_rng
from services.lab.bench.ablate.decider_arms import BASE
from services.lab.bench.ablate.forecast_arms import HARMONY, issued, make_parts, shifted_paths
from services.lab.bench.ablate.record import decision_sums
from services.lab.bench.ablate.resample import Draws, Point, cost_at, draws, point
from services.lab.bench.ablate.run import Ablation
from services.lab.bench.ablate.tails import (
    BEYOND,
    TailPrior,
    excess_at,
    exponential_scale,
    fitted_tails,
    with_tail,
)
from services.lab.bench.decide.deployed import Deployed
from services.lab.bench.decide.forecasts import Forecasts, check_prelude, on_course
from services.lab.bench.decide.frontier import block_sums
from services.lab.bench.decide.run import capacity_beliefs, lead_draws, oracle_run, task_block
from services.lab.bench.decide.task import DecideTask
from services.lab.bench.forecast.arm import LEVELS, Tell
from services.simulator.fleet.arrays import BoolArray, FloatArray
from services.simulator.grid_run import simulate_grid
from services.simulator.policies.predictive.known_laws import KnownLaws

TRADE = (0.0003, 0.03)
"""Promises beside those asked for: between all of them costs are read off."""
AHEAD = 1
"""Step ahead whose coverage is counted: what is started now is ready for it."""
CHECKED = (0.995, 0.999)
N_REPLICATES = 1000
Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Law:
    """Forecasts under one tail.

    Attributes:
        levels: (Q,) levels handed to the decider.
        quantiles: (T, W, Q, H).
        checked: (T, W, 2) quantiles at `CHECKED`, `AHEAD`.
    """

    levels: FloatArray
    quantiles: FloatArray
    checked: FloatArray


def compare_tails(
    run: Ablation, tell: Tell, train: Callable[[], TrainedModel]
) -> tuple[Rows, Rows]:
    """Rows of coverage and of decisions.

    Args:
        run: What is run.
        tell: Called with lines of progress.
        train: The trained forecaster.

    Raises:
        InvalidInput: No forecast precedes the counted part.
    """
    task = run.task
    check_prelude(task)
    model = train()
    parts = make_parts(task, model, run.seed, tell)
    shipped = issued(task.forecast, parts, HARMONY, model)
    forecasts = on_course(task, parts.replayed, shifted_paths(parts, shipped))
    quantiles = on_course(task, parts.replayed, shipped).paths.astype(np.float64)
    laws = tail_laws(quantiles, _ahead(task, quantiles))
    yard = decision_sums(task, oracle_run(task))[0]
    rng = make_rng(run.seed, "bench", "tails")
    drawn = draws(len(task.names), len(yard["known"][0]), N_REPLICATES, rng)
    coverage = coverage_rows(task, laws, drawn)
    asked = sorted({*run.epsilons, *TRADE})
    points = {}
    for name, law in laws.items():
        tell(f"deciding: {name} tail")
        sums = _decided(task, tuple(asked), law, forecasts)
        points[name] = {e: point(drawn, sums[g], yard) for g, e in enumerate(asked)}
    return coverage, [_decision_row(e, points) for e in run.epsilons]


def tail_laws(quantiles: FloatArray, actual: FloatArray) -> dict[str, Law]:
    """Both tails of forecasts (T, W, Q, H), given the demand (T + H - 1, W); NaN where unknown."""
    tails = fitted_tails(quantiles, actual, TailPrior())
    last, scale = quantiles[:, :, -1, AHEAD], exponential_scale(quantiles, least=0.0)[..., AHEAD]
    exponential = last + scale * excess_at(np.zeros_like(tails), CHECKED[1:])[..., 0]
    wide = with_tail(quantiles, tails)
    levels = np.array([*LEVELS, *BEYOND])
    pareto = wide[:, :, int(np.argmin(np.abs(levels - CHECKED[1]))), AHEAD]
    return {
        "exponential": Law(LEVELS, quantiles, np.stack([last, exponential], axis=2)),
        "pareto": Law(levels, wide, np.stack([last, pareto], axis=2)),
    }


def _ahead(task: DecideTask, quantiles: FloatArray) -> FloatArray:
    """(T + H - 1, W) demand of the steps that forecasts are for; NaN where unknown."""
    n_steps, _, _, horizon = quantiles.shape
    demand = np.where(task.is_known, task.course.demand, np.nan).T[-n_steps:]
    return np.concatenate([demand, np.full((horizon - 1, demand.shape[1]), np.nan)])


def coverage_rows(task: DecideTask, laws: dict[str, Law], drawn: Draws) -> Rows:
    """Share of counted demand above each level, and the pinball loss there, by both tails."""
    n_counted, size = task.course.n_steps - task.n_prelude, task_block(task)
    actual = np.where(task.is_known, task.course.demand, np.nan)[:, -n_counted:]
    is_known = np.isfinite(actual)

    def total(values: FloatArray | BoolArray) -> FloatArray:
        return block_sums(np.where(is_known, values, 0.0), size)

    rows, known = [], total(is_known)
    for i, level in enumerate(CHECKED):
        row: dict[str, Any] = {"level": f"{100 * level:g} %", "steps": int(known.sum())}
        loss = {}
        for name, law in laws.items():
            # The forecast for a step is the one made `AHEAD` steps before it.
            at = law.checked[-n_counted - AHEAD : -AHEAD, :, i].T
            row[f"above, {name}"] = _interval(100 * drawn.share(total(actual > at), known), 3)
            above = np.nan_to_num(actual) - at
            loss[name] = drawn.share(total(np.maximum(level * above, (level - 1.0) * above)), known)
        row["pinball, pareto / exponential"] = _interval(loss["pareto"] / loss["exponential"], 3)
        rows.append(row)
    return rows


def _decided(
    task: DecideTask, asked: tuple[float, ...], law: Law, forecasts: Forecasts
) -> list[dict[str, Any]]:
    """Sums of Harmony told promises `asked` (G,)."""
    first_s = task.course.start_s + forecasts.first_step * task.course.step_s
    laws = KnownLaws(law.levels, law.quantiles, first_s, task.course.step_s)
    policy = Deployed(asked, lead_draws(task), BASE, capacity_beliefs(task), laws)
    return decision_sums(task, simulate_grid(policy, task.course, forecasts.at))


def _decision_row(epsilon: float, points: dict[str, dict[float, Point]]) -> dict[str, Any]:
    """One promise under both tails."""
    own, other = points["exponential"], points["pareto"]
    row: dict[str, Any] = {"promise": f"{100 * epsilon:g} %"}
    for name, one in points.items():
        row[f"out of SLA %, {name}"] = _interval(100 * one[epsilon].rate, 3)
    row["cost, pareto / exponential"] = _interval(other[epsilon].ratio / own[epsilon].ratio, 3)
    rate = own[epsilon].rate
    at_rate = [cost_at(rate, list(trade.values())) for trade in (other, own)]
    row["at equal violation"] = _interval(at_rate[0] / at_rate[1], 3)
    return row


def _interval(values: FloatArray, digits: int) -> str:
    """The figure of the data (first) and the 95 % interval of its resamples."""
    low, high = np.nanquantile(values[1:], [0.025, 0.975])
    return f"{values[0]:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
