"""A generated fleet whose requests are served by a response that no policy is told.

The load at which a target misses the tolerated share of its requests is its stated capacity times
a ratio; of every fourth target the ratio drifts over the replay. Everything is drawn by the seed.
A request passes all pools of its service, and meets the objective where none of them fails it.

What a target cannot carry in a step waits, is served first in the next, and delays what arrives
then. Who has waited for `TIMEOUT_S` gives up: no more than arrives in that time waits.

Shapes: W services, V targets, R replayed steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import logit

from services.kernel.clock import make_rng
from services.simulator.fleet import ScaledFleet
from services.simulator.fleet.arrays import BoolArray, FloatArray, IntArray
from services.simulator.fleet.response import SLO_UTILISATION, TIMEOUT_S, request_rates
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
class ServedStep:
    """One step, served.

    Attributes:
        missed: (W,) requests that missed.
        waiting: (W,) mean number of requests in the queues that last from step to step.
        queue: (V,) load that waits at the end, in demand of one step.
    """

    missed: FloatArray
    waiting: FloatArray
    queue: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class ServedFleet:
    """A part of a fleet's steps, its replay or its history, served.

    Attributes:
        truth: Response of each target; requests and luck are those of its service.
        ratio: (V, R) load at which the tolerated share misses, over the stated capacity.
        half: (V, R) load of a replica at which half of what it can cure is missed.
        full: (V, R) load of a replica beyond which work piles up.
        demand: (V, R) demand.
        owner: (V,) service of each target; target i < W is the first of service i.
        step_s: Step length in seconds.
    """

    truth: ServedTruth
    ratio: FloatArray
    half: FloatArray
    full: FloatArray
    demand: FloatArray
    owner: IntArray
    step_s: float

    @property
    def n_services(self) -> int:
        """W."""
        return int(self.owner.max()) + 1

    @property
    def requests(self) -> FloatArray:
        """(W, R) requests of each step."""
        return self.truth.requests[: self.n_services]

    def true_factor(self, capacity: FloatArray) -> FloatArray:
        """(V, R) `Course.capacity_factor` of this response, over capacities (V,) that are told."""
        at_tolerated = np.exp(logit(self.truth.tolerated) / self.truth.slope)
        return np.asarray(self.half * (at_tolerated / capacity)[:, None])

    def no_queue(self) -> FloatArray:
        """(V,) queues before the replay."""
        return np.zeros(self.owner.size)

    def serve(self, step: int, ready_mean: FloatArray, queue: FloatArray) -> ServedStep:
        """Serve a step.

        Args:
            step: Step counted from the start of the replay.
            ready_mean: (V,) time-mean ready replicas.
            queue: (V,) load that waits at its start, in demand of one step.
        """
        arriving = self.demand[:, step]
        carried = ready_mean * self.full[:, step]
        most = arriving * TIMEOUT_S / self.step_s
        left = np.clip(queue + arriving - carried, 0.0, most)
        # requests that a unit of load is
        per_load = np.where(
            arriving > 0, self.requests[self.owner, step] / np.maximum(arriving, 1e-12), 0.0
        )
        waiting = self._by_service(np.add, 0.5 * (queue + left) * per_load)
        return ServedStep(self._missed(step, ready_mean, queue + arriving), waiting, left)

    def course(self, ready_mean: FloatArray) -> list[ServedStep]:
        """Serve the R steps one after the other, on (V, R) time-mean ready replicas."""
        found, queue = [], self.no_queue()
        for step in range(self.demand.shape[1]):
            found.append(self.serve(step, ready_mean[:, step], queue))
            queue = found[-1].queue
        return found

    def is_bad(self, course: Sequence[ServedStep]) -> BoolArray:
        """(W, R) steps in which more than the tolerated share of requests missed."""
        missed = np.stack([step.missed for step in course], axis=1)
        limit = self.truth.tolerated * (1.0 + _ROUNDING) * self.requests
        return np.asarray(missed > limit)

    def _missed(self, step: int, ready_mean: FloatArray, offered: FloatArray) -> FloatArray:
        """(W,) requests that miss where (V,) load is offered, what waits included."""
        is_served = ready_mean > 0
        load = np.where(is_served, offered / np.where(is_served, ready_mean, 1.0), np.inf)
        mean = self.truth.mean(load, self.half[:, step], np.arange(load.size))
        met = self._by_service(np.multiply, 1.0 - mean)
        share = self.truth.share(1.0 - met[self.owner], step)[: self.n_services]
        return np.asarray(np.rint(share * self.requests[:, step]))

    def _by_service(self, ufunc: np.ufunc, values: FloatArray) -> FloatArray:
        """(W,) sum or product of (V,) values over the targets of each service."""
        found = np.full(self.n_services, float(ufunc.identity))
        ufunc.at(found, self.owner, values)
        return found


def draw_served_fleet(scaled: ScaledFleet) -> ServedFleet:
    """Draw how the replay of a generated fleet is served; by its seed alone."""
    return _served(scaled, _draw_laws(scaled), slice(scaled.targets.n_history, None))


def draw_served_history(scaled: ScaledFleet) -> ServedFleet:
    """Draw how its history was served: as the replay begins, with a luck of its own."""
    fleet, laws = scaled.targets, _draw_laws(scaled)
    rngs = [make_rng(fleet.seed, "served history", i) for i in range(fleet.n_workloads)]
    ratio = np.repeat(laws.ratio[:, :1], fleet.n_history, axis=1)
    luck = np.stack([_luck(rng, fleet.n_history) for rng in rngs])
    return _served(scaled, replace(laws, ratio=ratio, luck=luck), slice(0, fleet.n_history))


@dataclass(frozen=True, slots=True, eq=False)
class _Laws:
    """What is drawn of each target: arrays (V,), `ratio` and `luck` (V, T)."""

    ratio: FloatArray
    slope: FloatArray
    floor: FloatArray
    concentration: FloatArray
    luck: FloatArray


def _draw_laws(scaled: ScaledFleet) -> _Laws:
    fleet = scaled.targets
    V, R = fleet.n_workloads, fleet.n_replay
    rngs = [make_rng(fleet.seed, "served", i) for i in range(V)]
    ratio = np.stack([_ratio(rng, R, _drifts(i)) for i, rng in enumerate(rngs)])
    slope = np.array([_SLOPE * np.exp(_SLOPE_SIGMA * rng.standard_normal()) for rng in rngs])
    floor = np.array([rng.uniform(0.0, _MOST_FLOOR) for rng in rngs])
    spread = np.array([_CONCENTRATION_SIGMA * rng.standard_normal() for rng in rngs])
    luck = np.stack([_luck(rng, R) for rng in rngs])
    return _Laws(ratio, slope, floor, _CONCENTRATION * np.exp(spread), luck)


def _luck(rng: np.random.Generator, T: int) -> FloatArray:
    return np.asarray(rng.uniform(1e-6, 1.0 - 1e-6, T))


def _served(scaled: ScaledFleet, laws: _Laws, part: slice) -> ServedFleet:
    """A part of the fleet's steps, served by laws of that part."""
    fleet = scaled.targets
    requests = np.rint(request_rates(fleet)[:, part] * fleet.step_s)
    truth = ServedTruth(
        slope=laws.slope,
        floor=laws.floor,
        concentration=laws.concentration[scaled.owner],
        requests=np.maximum(requests, LEAST_REQUESTS),
        good_share=GOOD_SHARE,
        luck=laws.luck[scaled.owner],
    )
    # what the floor leaves of the tolerated share, so that floor and load together miss all of it
    curable = (truth.tolerated - laws.floor) / (1.0 - laws.floor)
    bears = fleet.capacity[:, None] * laws.ratio
    return ServedFleet(
        truth=truth,
        ratio=laws.ratio,
        half=bears * np.exp(-logit(curable) / laws.slope)[:, None],
        full=bears / SLO_UTILISATION,
        demand=fleet.demand[:, part],
        owner=scaled.owner,
        step_s=float(fleet.step_s),
    )


def _drifts(target: int) -> bool:
    return target % DRIFTS_EVERY == DRIFTS_EVERY - 1


def _ratio(rng: np.random.Generator, R: int, is_drifting: bool) -> FloatArray:
    """(R,) ratio, log-uniform within its bounds; a drifting one moves smoothly to another."""
    first, last = rng.uniform(np.log(LOWEST_RATIO), np.log(HIGHEST_RATIO), 2)
    way = 0.5 - 0.5 * np.cos(np.pi * np.arange(R) / max(R - 1, 1))
    return np.asarray(np.exp(first + (last - first) * way * is_drifting))
