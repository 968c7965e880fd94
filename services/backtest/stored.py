"""A backtest of what the platform has measured: stored demand as a fleet, and the study of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy import Connection, RowMapping

from decider import equivalent_demand
from services.backtest import repository
from services.backtest.predictors import Trained, Untrained, pick, train
from services.backtest.study import Trainer, run_study
from services.kernel.clock import last_complete_step
from services.kernel.domain import WorkloadSpec, known_spec
from services.kernel.domain.json_values import null_where_unknown
from services.kernel.errors import Conflict, NotFound
from services.kernel.operation import Tell
from services.simulator import HistoryRun
from services.simulator.fleet import Fleet
from services.simulator.fleet.arrays import FloatArray
from services.simulator.fleet.fleet import FleetWorkload, StartupProfile

MIN_HISTORY_STEPS = 144
MAX_HISTORY_STEPS = 4032
MIN_KNOWN = 0.5
FAIL_PROBABILITY = 0.004
"""Share of first starts that crash, as in `services.simulator.fleet.trace`."""


class BacktestParams(BaseModel):
    """Parameters of a backtest; the API has checked them when it stored them."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    workloads: list[str]
    replay_hours: float = 24.0
    epsilons: list[float] = [0.01]
    policies: list[str] = ["hpa", "trailing_percentile", "static_peak"]
    forecaster: str = "simple"
    shortage_usd_per_h: float | None = None
    seed: int = 7


@dataclass(frozen=True, slots=True)
class _StoredGrid:
    """Steps of a backtest: `n` of `step_s` seconds from `start_at`."""

    start_at: datetime
    step_s: int
    n: int

    @property
    def end_at(self) -> datetime:
        """The last step."""
        return self.start_at + timedelta(seconds=self.step_s) * (self.n - 1)


def run_backtest(
    connection: Connection,
    params: BacktestParams,
    now: datetime,
    tell: Tell,
    untrained: Untrained | None = None,
) -> dict[str, Any]:
    """Every policy over the newest stored demand of some workloads.

    Args:
        connection: Only read from, and no longer than the demand takes.
        params: What is to be run.
        now: Time of the data; the replay ends at the last step complete then.
        tell: Told of every stage.
        untrained: What forecasts, or what a fit begins with; default: as shipped.

    Raises:
        NotFound: A workload does not exist.
        Conflict: Too little is stored of a workload, or their steps differ in length.
        InvalidInput: A policy is unknown.
    """
    tell("reading the stored demand", 0.0)
    fleet = stored_fleet(connection, params, now)
    connection.rollback()  # the study takes minutes; no transaction may stay open meanwhile
    n_stages = 3 + 3 * len(params.epsilons) + len(params.policies)
    n_done = 0

    def stage(message: str) -> None:
        nonlocal n_done
        n_done += 1
        tell(message, min(0.99, n_done / n_stages))

    study = run_study(
        fleet,
        params.epsilons,
        stage,
        policies=params.policies,
        shortage_usd=params.shortage_usd_per_h,
        trainer=_trainer(params, untrained or Untrained(), tell),
    )
    start, end = fleet.replay_start_s, fleet.start_s + fleet.n_steps * fleet.step_s
    found: dict[str, Any] = null_where_unknown(study.to_json())
    return found | {
        "workload_keys": [workload.key for workload in fleet.workloads],
        "history_steps": fleet.n_history,
        "replay_from_s": start,
        "replay_until_s": end,
        "advice": study.advice(),
    }


def stored_fleet(connection: Connection, params: BacktestParams, now: datetime) -> Fleet:
    """The newest stored demand of the workloads, with their own capacity, bounds and prices.

    Raises:
        NotFound: A workload does not exist.
        Conflict: One has pools or variants, too little is stored of it, its spec cannot be read, or
            their steps differ in length.
    """
    rows = repository.load_workloads(connection, params.workloads)
    missing = sorted(set(params.workloads) - {f"{r['namespace']}/{r['name']}" for r in rows})
    if missing:
        raise NotFound(f"workload {missing[0]} does not exist")
    steps = sorted({int(row["step_s"]) for row in rows})
    if len(steps) > 1:
        raise Conflict(f"workloads with steps of {steps} s cannot share a backtest; choose some")
    specs = [_spec_of(row) for row in rows]
    for row, spec in zip(rows, specs, strict=True):
        if spec.parts:
            parts = "variants" if spec.variants else "pools"
            raise Conflict(
                f"workload {row['namespace']}/{row['name']} has {parts}, and a backtest plans one "
                "count: leave it out"
            )
    n_replay = max(1, round(params.replay_hours * 3600 / steps[0]))
    n_most = MAX_HISTORY_STEPS + n_replay
    end_at = last_complete_step(now, steps[0])
    grid = _StoredGrid(end_at - timedelta(seconds=steps[0]) * (n_most - 1), steps[0], n_most)
    demand = np.stack(
        [_demand(connection, row, spec, grid) for row, spec in zip(rows, specs, strict=True)]
    )
    known = np.flatnonzero(np.isfinite(demand).any(axis=0))
    first = int(known[0]) if known.size else n_most
    demand, n_history = demand[:, first:], n_most - first - n_replay
    _check(rows, demand, n_history, steps[0])
    return Fleet(
        label=f"stored demand of {len(rows)} workloads until {end_at:%Y-%m-%dT%H:%M:%SZ}",
        seed=params.seed,
        step_s=steps[0],
        start_s=int(grid.start_at.timestamp()) + first * steps[0],
        n_history=n_history,
        workloads=tuple(stored_workload(r, s) for r, s in zip(rows, specs, strict=True)),
        demand=demand,
        values=demand[:, :, None].copy(),
        observed=np.isfinite(demand)[:, :, None],
        has_closed_loop=False,
        notes=_notes(specs),
    )


def _spec_of(row: RowMapping) -> WorkloadSpec:
    try:
        return known_spec(row["spec"])
    except ValidationError as error:
        raise Conflict(
            f"the stored spec of {row['namespace']}/{row['name']} cannot be read "
            f"({error.errors()[0]['msg']}): write it anew, or leave it out"
        ) from error


def _notes(specs: list[WorkloadSpec]) -> tuple[str, ...]:
    notes: tuple[str, ...] = (
        "Capacity, bounds, prices and lead times are those of the workloads' specs.",
    )
    if any(spec.further_loads for spec in specs):
        notes += ("Of several loads, the one that takes most of its stated capacity binds.",)
    return notes


def _demand(
    connection: Connection, row: RowMapping, spec: WorkloadSpec, grid: _StoredGrid
) -> FloatArray:
    """(T,) demand, of several loads the equivalent one; NaN where one is unknown."""
    names = (spec.demand, *spec.further_loads)
    loads = [_series(connection, row, name, grid) for name in names]
    further = (load.per_replica for load in spec.capacity.also_bound_by)
    return equivalent_demand(
        np.stack(loads, axis=1), np.array([spec.capacity.per_replica, *further])
    )


def _series(
    connection: Connection, row: RowMapping, indicator: str, grid: _StoredGrid
) -> FloatArray:
    """(T,) mean of what is stored within each step: steps of before may have been shorter."""
    total, count = np.zeros(grid.n), np.zeros(grid.n)
    step = timedelta(seconds=grid.step_s)
    until = grid.end_at + step - timedelta(microseconds=1)
    for found in repository.load_demand(connection, row["id"], indicator, grid.start_at, until):
        value = found["value"]
        if value is not None and math.isfinite(value) and value >= 0:
            place = (found["step_at"] - grid.start_at) // step
            total[place] += value
            count[place] += 1
    mean: FloatArray = np.divide(total, count, out=np.full(grid.n, np.nan), where=count > 0)
    return mean


def _check(rows: list[RowMapping], demand: FloatArray, n_history: int, step_s: int) -> None:
    """Raise `Conflict` where too little is known to tune on and to replay."""
    if n_history < MIN_HISTORY_STEPS:
        raise Conflict(
            f"{max(n_history, 0)} steps of {step_s} s are stored before the replay, at least "
            f"{MIN_HISTORY_STEPS} are needed; ask for fewer replay_hours or wait"
        )
    for row, series in zip(rows, demand, strict=True):
        for part, name in ((series[:n_history], "history"), (series[n_history:], "replay")):
            share = float(np.isfinite(part).mean())
            if share < MIN_KNOWN or not np.nan_to_num(part).any():
                raise Conflict(
                    f"{row['namespace']}/{row['name']}: demand is known in {share:.0%} of the "
                    f"{name}; at least {MIN_KNOWN:.0%} and some demand above 0 are needed"
                )


def stored_workload(row: RowMapping, spec: WorkloadSpec) -> FleetWorkload:
    """A stored workload as one of a fleet, by what its spec states."""
    indicator = next(item for item in spec.indicators if item.name == spec.demand)
    return FleetWorkload(
        namespace=row["namespace"],
        name=row["name"],
        kind="trace",
        gpu_type=spec.gpu_type,
        gpus_per_replica=spec.gpus_per_replica,
        capacity_per_replica=spec.capacity.per_replica,
        demand=spec.demand,
        indicators=(indicator,),
        min_replicas=spec.min_replicas,
        max_replicas=spec.max_replicas,
        startup=StartupProfile(
            median_s=spec.lead_time.median_s,
            sigma=spec.lead_time.sigma,
            fail_probability=FAIL_PROBABILITY,
        ),
        price_usd_per_gpu_hour=spec.price_usd_per_gpu_hour,
        epsilon=spec.sla.epsilon,
    )


def _trainer(params: BacktestParams, untrained: Untrained, tell: Tell) -> Trainer:
    if params.forecaster == "simple":
        return partial(pick, untrained=untrained, seed=params.seed)
    return partial(_model, untrained=untrained, tell=tell)


def _model(fleet: Fleet, history: HistoryRun, untrained: Untrained, tell: Tell) -> Trained:
    """Train on the history; every epoch reports, so that a cancellation is noticed."""

    def epoch(line: Any) -> bool:
        tell(f"training: {line.stage} {line.epoch}/{line.n_epochs}", 0.1)
        return True

    return train(fleet, history, untrained, seed=fleet.seed, on_progress=epoch)
