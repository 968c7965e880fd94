"""Both comparisons of a decision benchmark on one trace: matched frontier, and as deployed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from decider.belief.capacity import capacity_draws
from services.kernel.clock import make_rng
from services.lab.bench.decide.deployed import BASE, Deployed
from services.lab.bench.decide.forecasts import Forecasts, learned, perfect
from services.lab.bench.decide.frontier import (
    Blocks,
    Curve,
    Yardstick,
    block_steps,
    block_sums,
    blocks_of,
    curve,
    resamples,
)
from services.lab.bench.decide.measured import Measured, true_responses
from services.lab.bench.decide.task import DecideTask
from services.lab.bench.decide.truth import (
    MEASURED,
    TOLD_TRUTH,
    in_true_units,
    measured_truth,
    told_truth,
)
from services.lab.bench.forecast.arm import Tell
from services.simulator.fleet.arrays import FloatArray
from services.simulator.grid_run import GridRun, simulate_grid
from services.simulator.policies.grid import GridPolicy
from services.simulator.policies.oracle import OracleGrid
from services.simulator.policies.predictive.planned import PlannedGrid
from services.simulator.policies.rivals import HARMONY, PRICES, forecast_policies, rivals

N_LEAD_DRAWS = 64
N_REPLICATES = 200


@dataclass(frozen=True, slots=True, eq=False)
class PolicyResult:
    """One policy on one trace.

    Attributes:
        run: Its settings' runs; the prelude is part of them.
        blocks: Its counted part by days.
        curve: Its frontier.
        chosen: Promise -> setting deployed.
        tuned: Promise -> whether that setting kept the promise where it was chosen.
        reads_forecasts: Whether it reads Harmony's forecasts: then it is an ablation, no rival.
    """

    run: GridRun
    blocks: Blocks
    curve: Curve
    chosen: dict[float, int]
    tuned: dict[float, bool]
    reads_forecasts: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class DecideResult:
    """Everything about one trace.

    Attributes:
        task: The data.
        seed: Seed of the forecaster.
        epsilons: Promises.
        policies: By name; `harmony` is the frontier, `deployed` what its users run.
        deployed: Harmony with one promise per setting.
        yard: Known steps and the oracle's costs.
        oracle: The run behind those costs.
        ablations: Harmony with other beliefs, as deployed.
        replicates: Promise -> (R,) log of Harmony over its best rival under resampling.
        first_step: First step of the course with a forecast.
    """

    task: DecideTask
    seed: int
    epsilons: tuple[float, ...]
    policies: dict[str, PolicyResult]
    deployed: PolicyResult
    yard: Yardstick
    oracle: GridRun
    ablations: dict[str, PolicyResult] = field(default_factory=dict)
    replicates: dict[float, FloatArray] = field(default_factory=dict)
    first_step: int = 0


def bench_decide(
    task: DecideTask, epsilons: Sequence[float], seed: int, tell: Tell
) -> DecideResult:
    """Run every policy's grid once, and Harmony as deployed."""
    forecasts = learned(task, seed, tell)
    bench = _Bench(task, forecasts, tuple(epsilons))
    oracle = oracle_run(task)
    yard = _yardstick(task, oracle)
    found: dict[str, PolicyResult] = {}
    for name, policy in rivals(task.course.step_s).items():
        tell(f"{name}: {policy.n_settings} settings")
        found[name] = bench.result(policy, yard)
    for name, policy in forecast_policies().items():
        tell(f"{name}: {policy.n_settings} settings")
        found[name] = bench.result(policy, yard, forecasts)
    tell(f"harmony: {PRICES.size} prices")
    found[HARMONY] = bench.result(_planned(task), yard, forecasts)
    tell("harmony as deployed")
    deployed = bench.result(_deployed(task, epsilons), yard, forecasts)
    others = _other_beliefs(bench, yard, tell)
    result = DecideResult(
        task,
        seed,
        tuple(epsilons),
        found,
        deployed,
        yard,
        oracle,
        others,
        first_step=forecasts.first_step,
    )
    result.replicates.update(_replicates(result, seed))
    return result


def oracle_run(task: DecideTask) -> GridRun:
    """Whoever knows the future: the cost that all others are divided by.

    It does not know the luck of starts, and allows for nearly the slowest of them. Where the stated
    capacity is wrong it knows the true one, of later steps too.
    """
    lead_steps = task.options.slow_lead_steps
    oracle = OracleGrid(task.course.step_s * lead_steps)
    n_future = 1 + math.ceil(lead_steps)
    if task.options.truth.is_stated:
        return simulate_grid(oracle, task.course, n_future=n_future)
    run = simulate_grid(oracle, in_true_units(task.course), n_future=n_future)
    unserved = run.unserved * task.course.capacity_factor
    return replace(run, unserved=unserved.astype(np.float32))


def lead_draws(task: DecideTask) -> FloatArray:
    """(P,) lead times that Harmony believes in: the law that the starts are drawn from."""
    options = task.options
    median_s = task.course.step_s * options.lead_median_steps
    if options.lead_sigma == 0:
        return np.array([median_s])
    rng = make_rng(options.seed, "bench", "lead")
    return np.asarray(median_s * np.exp(options.lead_sigma * rng.standard_normal(N_LEAD_DRAWS)))


def capacity_beliefs(task: DecideTask) -> FloatArray:
    """(P,) true over stated capacity that Harmony believes in: the law of the true ones."""
    return capacity_draws(1.0, task.options.capacity_cv, N_LEAD_DRAWS)


def _planned(task: DecideTask) -> PlannedGrid:
    """The planner at every price, with what Harmony believes of starts and capacities."""
    return PlannedGrid(
        PRICES,
        lead_draws(task),
        horizon=task.options.n_steps_ahead,
        capacity_draws=capacity_beliefs(task),
    )


def _deployed(task: DecideTask, epsilons: Sequence[float]) -> Deployed:
    return Deployed(tuple(epsilons), lead_draws(task), BASE, capacity_beliefs(task))


@dataclass(frozen=True, slots=True)
class _Bench:
    """Runs policies on a task."""

    task: DecideTask
    forecasts: Forecasts
    epsilons: tuple[float, ...]

    def result(
        self, policy: GridPolicy[Any], yard: Yardstick, forecasts: Forecasts | None = None
    ) -> PolicyResult:
        """Run a grid; choose its settings on the prelude."""
        task = self.task
        shows_missed = isinstance(policy, Measured)
        paths_at = forecasts.at if forecasts else None
        run = simulate_grid(policy, task.course, paths_at, shows_missed=shows_missed)
        blocks = blocks_of(run, task.is_known, task.n_prelude, task_block(task))
        first = forecasts.first_step + 1 if forecasts else task.n_prelude // 4
        chosen, tuned = {}, {}
        for g, epsilon in enumerate(self.epsilons):
            if isinstance(policy, Deployed | Measured):
                chosen[epsilon], tuned[epsilon] = g, True
            else:
                chosen[epsilon], tuned[epsilon] = choose(task, run, first, epsilon)
        return PolicyResult(run, blocks, curve(blocks, yard), chosen, tuned, forecasts is not None)


def choose(task: DecideTask, run: GridRun, first: int, epsilon: float) -> tuple[int, bool]:
    """Cheapest setting that keeps the promise on the prelude from step `first` on.

    One setting for the whole fleet, by the rate that is measured there. Where none keeps it, the
    one that violates least.
    """
    part = slice(first, task.n_prelude)
    known = task.is_known[:, part]
    rows = known.any(axis=1)
    total = np.maximum(known.sum(axis=1), 1)
    rate = ((run.measured_ratio[..., part] * known).sum(axis=2) / total)[:, rows].mean(axis=1)
    cost = run.asked[..., part].sum(axis=2)[:, rows].mean(axis=1)
    keeps = rate <= epsilon
    if keeps.any():
        return int(np.argmin(np.where(keeps, cost, np.inf))), True
    return int(np.lexsort((cost, rate))[0]), False


def task_block(task: DecideTask) -> int:
    """Steps of a bootstrap block of a task."""
    return block_steps(task.course.n_steps - task.n_prelude, task.course.step_s)


def _yardstick(task: DecideTask, oracle: GridRun) -> Yardstick:
    size = task_block(task)
    known = block_sums(task.is_known[:, task.n_prelude :].astype(float), size)
    held = block_sums(oracle.asked[0, :, task.n_prelude :], size)
    return Yardstick(known, held)


def _other_beliefs(bench: _Bench, yard: Yardstick, tell: Tell) -> dict[str, PolicyResult]:
    """Harmony told the future, and with other beliefs of starts and capacities.

    It is not told that they vary, where they do; it is told the true capacity, where the stated one
    is wrong.
    """
    task, forecasts = bench.task, bench.forecasts
    usual = _deployed(task, bench.epsilons)
    tell("perfect_forecast")
    found = {"perfect_forecast": bench.result(usual, yard, perfect(task))}
    if task.options.lead_sigma > 0:
        tell("fixed_lead_time")
        median = np.array([task.course.step_s * task.options.lead_median_steps])
        arm = replace(usual, lead_time_s=median)
        found["fixed_lead_time"] = bench.result(arm, yard, forecasts)
    if task.options.capacity_cv > 0:
        tell("certain_capacity")
        arm = replace(usual, capacity_draws=np.ones(1))
        found["certain_capacity"] = bench.result(arm, yard, forecasts)
    if not task.options.truth.is_stated:
        found |= _that_know_more(bench, usual, yard, tell)
    return found


def _that_know_more(
    bench: _Bench, usual: Deployed, yard: Yardstick, tell: Tell
) -> dict[str, PolicyResult]:
    """Harmony that measures what requests feel, and Harmony that is told what replicas serve."""
    task, forecasts = bench.task, bench.forecasts
    tell(MEASURED)
    course = measured_truth(task.course)
    measuring = replace(bench, task=replace(task, course=course))
    found = {MEASURED: measuring.result(Measured(usual), yard, forecasts)}
    tell(TOLD_TRUTH)
    if task.course.served is not None:
        told = Measured(usual, told=true_responses(task.course))
        return found | {TOLD_TRUTH: measuring.result(told, yard, forecasts)}
    knowing = replace(bench, task=replace(task, course=told_truth(task.course)))
    return found | {TOLD_TRUTH: knowing.result(usual, yard, forecasts)}


def best_rival(result: DecideResult, epsilon: float) -> tuple[str, float] | None:
    """The rival with the least matched cost, and that cost; None where none reaches the rate."""
    costs = {
        name: policy.curve.at(epsilon)
        for name, policy in result.policies.items()
        if not policy.reads_forecasts
    }
    reached = {name: cost for name, cost in costs.items() if np.isfinite(cost)}
    if not reached:
        return None
    name = min(reached, key=lambda n: reached[n])
    return name, reached[name]


def _replicates(result: DecideResult, seed: int) -> dict[float, FloatArray]:
    """(R,) log cost ratio under paired resampling of days and workloads, for each promise.

    The best rival is chosen anew in every replicate, as a reader of the table would.
    """
    rng = make_rng(seed, "bench", "bootstrap")
    n_workloads, n_days = result.yard.known.shape
    draws = resamples(n_workloads, n_days, N_REPLICATES, rng)
    own = result.policies[HARMONY]
    others = [p for p in result.policies.values() if not p.reads_forecasts]
    found = {epsilon: np.full(N_REPLICATES, np.nan) for epsilon in result.epsilons}
    for r, (days, workloads) in enumerate(draws):
        mine = curve(own.blocks, result.yard, days, workloads)
        theirs = [curve(p.blocks, result.yard, days, workloads) for p in others]
        for epsilon in result.epsilons:
            costs = [c.at(epsilon) for c in theirs]
            if np.isfinite(costs).any():
                found[epsilon][r] = np.log(mine.at(epsilon) / np.nanmin(costs))
    return found
