"""The true response of a real engine, read off a table of measured points (`curves`).

Between compositions the logarithm of the limit, the floor and the curve (log odds of the share over
the logarithm of the use) are linear in the logarithms of the lengths; one outside the table counts
as the nearest inside. Along each composition misses never fall.

Shapes: K uses, W workloads, N steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import least_squares
from scipy.special import expit, logit

from decider import MissDraws
from services.kernel.errors import InvalidInput
from services.lab.bench.forecast.task import BenchTask
from services.lab.bench.loads.curves import LOG_USES, EngineCurves
from services.lab.bench.loads.response import MOST_SHARING, TOLERATED, vector_draws
from services.lab.bench.loads.task import MakeResponse, loads_of, only
from services.simulator.fleet.arrays import FloatArray, IntArray

N_LOADS = 3
"""Requests, tokens of prompts and tokens of answers per second, in that order."""
LEAST_COVERED = 0.5
"""Share of a workload's known steps whose composition must lie inside the table."""
_STEP = float(LOG_USES[1] - LOG_USES[0])


@dataclass(frozen=True, slots=True, eq=False)
class EngineResponse:
    """The same engine behind every workload (`LoadResponse`).

    Attributes:
        curves: What was measured.
        capacity: (W, 3) of the nearest response of the family that Harmony learns, which is what
            policies are told of, but for the error of what they are told.
        sharing: Its sharing exponent.
        slope: Its slope.
    """

    curves: EngineCurves
    capacity: FloatArray
    sharing: float
    slope: float

    @classmethod
    def of(cls, curves: EngineCurves, n_workloads: int) -> EngineResponse:
        """The response, with the nearest one of the family found by least squares.

        Capacities and exponent are those nearest to the logarithms of the limits.
        """
        lengths = np.stack(np.meshgrid(curves.log_input, curves.log_output, indexing="ij"), axis=-1)
        log_lengths = np.concatenate([np.zeros((*lengths.shape[:2], 1)), lengths], axis=-1).reshape(
            -1, N_LOADS
        )
        log_limit = curves.log_limit.reshape(-1)

        def error(z: FloatArray) -> FloatArray:
            share = z[1] * (log_lengths - z[2:])
            return np.asarray(np.logaddexp.reduce(share, axis=1) / z[1] + log_limit)

        widest = log_lengths.max(axis=0) + log_limit.max()
        start = np.concatenate([[0.0, 2.0], widest])
        low = np.concatenate([[-1.0, 1.0], widest - 8.0])
        high = np.concatenate([[1.0, MOST_SHARING], widest + 3.0])
        found = least_squares(error, start, bounds=(low, high)).x
        rise = curves.log_odds - logit(TOLERATED)
        slope = float((rise * LOG_USES).sum() / (curves.floor.size * (LOG_USES**2).sum()))
        capacity = np.broadcast_to(np.exp(found[2:]), (n_workloads, N_LOADS))
        return cls(curves, capacity, float(found[1]), slope)

    def use(self, load: FloatArray, workload: IntArray) -> FloatArray:
        """See `LoadResponse`."""
        del workload  # all are served by the same engine
        log_limit = self.curves.corners(load).mean(self.curves.log_limit)
        return np.asarray(load[..., 0] / np.exp(log_limit))

    def mean(self, load: FloatArray, workload: IntArray) -> FloatArray:
        """See `LoadResponse`."""
        corners = self.curves.corners(load)
        floor = corners.mean(self.curves.floor)
        with np.errstate(divide="ignore"):
            log_use = np.log(self.use(load, workload))
        inside = np.clip(log_use, LOG_USES[0], LOG_USES[-1])
        place = (inside - LOG_USES[0]) / _STEP
        at = np.minimum(place.astype(np.int64), LOG_USES.size - 2)
        low, high = (corners.mean(self.curves.log_odds, at_k) for at_k in (at, at + 1))
        between = low + (place - at) * (high - low)
        found = floor + (1.0 - floor) * expit(between + self.slope * (log_use - inside))
        return np.asarray(np.where(np.isinf(load[..., 0]), 1.0, found))

    def draws(self, workload: int, concentration: float) -> MissDraws:
        """See `LoadResponse`: the nearest response of the family."""
        half = self.capacity[workload] * np.exp(-logit(TOLERATED) / self.slope)
        own = (half[0], self.slope, float(self.curves.floor.mean()), concentration)
        return vector_draws(np.array(own), self.sharing, half[1:])


def maker(curves: EngineCurves) -> MakeResponse:
    """The engine behind every workload; no draw is needed."""

    def make(usual: FloatArray, _rng: np.random.Generator) -> EngineResponse:
        if usual.shape[1] != N_LOADS:
            raise InvalidInput(
                f"{usual.shape[1]} loads: an engine's table is of requests, input and output tokens"
            )
        return EngineResponse.of(curves, len(usual))

    return make


def covered(loaded: BenchTask, names: Sequence[str], curves: EngineCurves) -> BenchTask:
    """Only the workloads whose loads are composed as in the table at least half the time."""
    skipped, kept = dict(loaded.skipped), []
    for i, (one, stop) in enumerate(zip(loaded.series, loaded.validation_ends, strict=True)):
        if not set(names) <= set(one.indicators):
            kept.append(i)  # what it lacks is told where loads are read
            continue
        loads = loads_of(one, names, 0, stop).T
        busy = loads[np.isfinite(loads[:, 0]) & (loads[:, 0] > 0)]
        share = float(curves.covers(busy).mean()) if len(busy) else 0.0
        if share >= LEAST_COVERED:
            kept.append(i)
        else:
            skipped[one.workload] = f"its composition is in the table for {share:.0%} of the time"
    return replace(only(loaded, kept), skipped=skipped)
