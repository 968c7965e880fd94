"""What the report shows beside the scores: calibration, start-up times."""

from __future__ import annotations

from datetime import UTC

import numpy as np
from sqlalchemy import Engine

from services.lab.demo.repository import measured_starts, next_step_forecasts, workload_ids
from services.lab.report import Reliability, StartTimes
from services.simulator.fleet import Fleet
from services.simulator.fleet.arrays import FloatArray


def calibration_of(engine: Engine, fleet: Fleet) -> Reliability | None:
    """How often demand came in at or below each quantile of the forecast a step before."""
    ids = workload_ids(engine)
    first = fleet.step_at(fleet.n_history - 1)
    levels: FloatArray | None = None
    below, n = np.zeros(0), 0
    for i, workload in enumerate(fleet.workloads):
        for row in next_step_forecasts(engine, ids[workload.key], first):
            at_s = row.origin_at.astimezone(UTC).timestamp() + fleet.step_s
            step = round((at_s - fleet.start_s) / fleet.step_s)
            own = np.array(row.quantile_levels, dtype=float)
            if levels is None:
                levels, below = own, np.zeros(own.size)
            is_there = step < fleet.n_steps and np.isfinite(fleet.demand[i, step])
            if not is_there or own.size != levels.size or len(row.quantiles) != own.size:
                continue
            below += fleet.demand[i, step] <= np.array(row.quantiles, dtype=float)
            n += 1
    return None if levels is None or n == 0 else Reliability(levels, below / n, n)


def start_times(engine: Engine, fleet: Fleet) -> tuple[StartTimes, ...]:
    """What was measured of each service's starts, beside the median that it states."""
    ids, found = workload_ids(engine), measured_starts(engine)
    return tuple(
        StartTimes(w.key, w.startup.median_s, np.array(found.get(ids[w.key], []), dtype=float))
        for w in fleet.workloads
    )
