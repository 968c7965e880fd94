"""Results of a benchmark made by hand: an hour of six steps counted, two workloads of 20 GPUs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from services.lab.bench.decide.frontier import Yardstick, blocks_of, curve
from services.lab.bench.decide.run import DecideResult, PolicyResult, task_block
from services.lab.bench.decide.task import DecideTask
from services.simulator.grid_run import GridRun
from tests.unit.lab.bench.decide.tasks import decide_task

EPSILONS = (0.01, 0.05)
ORACLE_REPLICAS = 24.0
N_TEST = 6
Points = Sequence[tuple[float, float]]


def small_task(name: str = "hand", *, unknown: int | None = None) -> DecideTask:
    """Seven steps of prelude, six counted; workload `unknown` has no known demand in them."""
    demands = [np.full(20, 10.0), np.full(20, 5.0)]
    if unknown is not None:
        demands[unknown][14:] = np.nan
    task = decide_task(demands)
    assert (task.n_prelude, task.course.n_steps) == (7, 13)
    return replace(task, forecast=replace(task.forecast, data=name))


def constant_run(name: str, task: DecideTask, points: Points, swing: float = 0.0) -> GridRun:
    """Each setting violates at one rate and holds one cost over the oracle's, up and down by swing.

    A twentieth of the violating time's demand of 20 is unserved.
    """
    shape = (len(points), *task.course.demand.shape)
    rate, ratio = (np.array(v, dtype=float)[:, None, None] for v in zip(*points, strict=True))
    asked = np.broadcast_to(ORACLE_REPLICAS * ratio, shape).copy()
    asked[..., task.n_prelude :] += swing * np.array([1, -1] * (N_TEST // 2))
    out = np.broadcast_to(rate, shape).copy()
    labels = tuple(f"{name} {g}" for g in range(len(points)))
    return GridRun(name, labels, asked, out, out, asked, out, out)


def policy(
    name: str,
    task: DecideTask,
    points: Points,
    *,
    chosen: tuple[int, int] = (0, 1),
    swing: float = 0.0,
    reads_forecasts: bool = False,
    keeps: tuple[bool, bool] = (True, True),
) -> PolicyResult:
    """A policy with the given points and choices at 1 % and 5 %."""
    run = constant_run(name, task, points, swing)
    blocks = blocks_of(run, task.is_known, task.n_prelude, task_block(task))
    return PolicyResult(
        run,
        blocks,
        curve(blocks, yardstick(task)),
        dict(zip(EPSILONS, chosen, strict=True)),
        dict(zip(EPSILONS, keeps, strict=True)),
        reads_forecasts,
    )


def yardstick(task: DecideTask) -> Yardstick:
    """Known steps, and the oracle's 24 replicas in each of six steps."""
    known = task.is_known[:, task.n_prelude :].astype(float)
    return Yardstick(known, np.full(known.shape, float(ORACLE_REPLICAS)))


def make_result(
    name: str = "hand",
    *,
    harmony: Points = ((0.001, 2.0), (0.01, 1.5), (0.05, 1.25)),
    trailing: Points = ((0.001, 3.0), (0.01, 2.0), (0.05, 1.5)),
    hpa: Points = ((0.02, 2.5), (0.05, 1.75), (0.2, 1.0)),
    deployed: Points = ((0.012, 1.4), (0.04, 1.3)),
    replicates: Mapping[float, Sequence[float]] | None = None,
    unknown: int | None = None,
) -> DecideResult:
    """Harmony, two rivals, a policy that reads forecasts, Harmony with other beliefs."""
    task = small_task(name, unknown=unknown)
    policies = {
        "hpa": policy("hpa", task, hpa, swing=2.0, keeps=(False, True)),
        "trailing_percentile": policy("trailing_percentile", task, trailing, chosen=(1, 2)),
        "forecast_quantile": policy(
            "forecast_quantile",
            task,
            ((0.001, 2.2), (0.01, 1.6), (0.05, 1.3)),
            chosen=(1, 2),
            reads_forecasts=True,
        ),
        "harmony": policy("harmony", task, harmony, chosen=(1, 2), reads_forecasts=True),
    }
    ablations = {
        "fixed_lead_time": policy(
            "harmony", task, ((0.02, 1.2), (0.08, 1.1)), reads_forecasts=True
        ),
    }
    found = {e: np.array(v, dtype=float) for e, v in (replicates or {}).items()}
    return DecideResult(
        task,
        7,
        EPSILONS,
        policies,
        policy("harmony", task, deployed, swing=1.0, reads_forecasts=True),
        yardstick(task),
        constant_run("oracle", task, ((0.0, 1.0),)),
        ablations,
        {e: found.get(e, np.array([])) for e in EPSILONS},
    )
