"""A generated fleet whose requests are served by a response that no policy is told.

The load at which a service misses the tolerated share of its requests is its stated capacity times
a ratio; of every fourth service the ratio drifts over the replay. Everything is drawn by the seed.

Shapes: W workloads, R replayed steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import logit

from services.kernel.clock import make_rng
from services.simulator.fleet import Fleet
from services.simulator.fleet.arrays import BoolArray, FloatArray
from services.simulator.fleet.response import request_rates
from services.simulator.served import ServedTruth

GOOD_SHARE = 0.95
"""Share of a step's requests that must meet the objective for it to be a good one."""
LOWEST_RATIO, HIGHEST_RATIO = 0.75, 1.25
"""Bounds of the capacity that is true over the one that is stated."""
DRIFTS_EVERY = 4
LEAST_REQUESTS = 20.0
_SLOPE, _SLOPE_SIGMA = 12.0, 0.4
_MOST_FLOOR = 0.003
_CONCENTRATION, _CONCENTRATION_SIGMA = 150.0, 0.3
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class ServedFleet:
    """The replay of a fleet, served.

    Attributes:
        truth: Response, requests and luck.
        ratio: (W, R) load at which the tolerated share misses, over the stated capacity.
        half: (W, R) load of a replica at which half of what it can cure is missed.
        demand: (W, R) demand.
        step_s: Step length in seconds.
    """

    truth: ServedTruth
    ratio: FloatArray
    half: FloatArray
    demand: FloatArray
    step_s: float

    def missed(self, step: int, ready_mean: FloatArray) -> FloatArray:
        """(W,) requests that miss in a step.

        Args:
            step: Step counted from the start of the replay.
            ready_mean: (W,) time-mean ready replicas.
        """
        is_served = ready_mean > 0
        load = np.where(
            is_served, self.demand[:, step] / np.where(is_served, ready_mean, 1.0), np.inf
        )
        mean = self.truth.mean(load, self.half[:, step], np.arange(load.size))
        missed: FloatArray = np.rint(self.truth.share(mean, step) * self.truth.requests[:, step])
        return missed

    def is_bad(self, ready_mean: FloatArray) -> BoolArray:
        """(W, R) steps in which more than the tolerated share of requests missed.

        Args:
            ready_mean: (W, R) time-mean ready replicas.
        """
        steps = range(self.demand.shape[1])
        missed = np.stack([self.missed(step, ready_mean[:, step]) for step in steps], axis=1)
        limit = self.truth.tolerated * (1.0 + _ROUNDING) * self.truth.requests
        return np.asarray(missed > limit)


def draw_served_fleet(fleet: Fleet) -> ServedFleet:
    """Draw how the replay of `fleet`, a generated one, is served; by its seed alone."""
    W, R = fleet.n_workloads, fleet.n_replay
    replayed = slice(fleet.n_history, None)
    rngs = [make_rng(fleet.seed, "served", i) for i in range(W)]
    ratio = np.stack([_ratio(rng, R, _drifts(i)) for i, rng in enumerate(rngs)])
    slope = np.array([_SLOPE * np.exp(_SLOPE_SIGMA * rng.standard_normal()) for rng in rngs])
    floor = np.array([rng.uniform(0.0, _MOST_FLOOR) for rng in rngs])
    spread = np.array([_CONCENTRATION_SIGMA * rng.standard_normal() for rng in rngs])
    requests = np.rint(request_rates(fleet)[:, replayed] * fleet.step_s)
    truth = ServedTruth(
        slope=slope,
        floor=floor,
        concentration=_CONCENTRATION * np.exp(spread),
        requests=np.maximum(requests, LEAST_REQUESTS),
        good_share=GOOD_SHARE,
        luck=np.stack([rng.uniform(1e-6, 1.0 - 1e-6, R) for rng in rngs]),
    )
    # what the floor leaves of the tolerated share, so that floor and load together miss all of it
    curable = (truth.tolerated - floor) / (1.0 - floor)
    half = fleet.capacity[:, None] * ratio * np.exp(-logit(curable) / slope)[:, None]
    return ServedFleet(truth, ratio, half, fleet.demand[:, replayed], float(fleet.step_s))


def _drifts(workload: int) -> bool:
    return workload % DRIFTS_EVERY == DRIFTS_EVERY - 1


def _ratio(rng: np.random.Generator, R: int, is_drifting: bool) -> FloatArray:
    """(R,) ratio, log-uniform within its bounds; a drifting one moves smoothly to another."""
    first, last = rng.uniform(np.log(LOWEST_RATIO), np.log(HIGHEST_RATIO), 2)
    way = 0.5 - 0.5 * np.cos(np.pi * np.arange(R) / max(R - 1, 1))
    return np.asarray(np.exp(first + (last - first) * way * is_drifting))
