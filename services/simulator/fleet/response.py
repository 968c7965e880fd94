"""Indicators of a service that follow from its demand and the replicas that served it.

Calibrated shapes, not a queueing simulation of single requests: waits are flat until a replica
nears saturation and then climb, work that was not served waits as a backlog, GPU duty is noisy with
a heavy right tail. Constants come from `calibration` and `profiles`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.kernel.clock import make_rng
from services.simulator.fleet.arrays import BoolArray, FloatArray
from services.simulator.fleet.calibration import (
    DUTY_SIGMA,
    LATENCY_TAIL_RATIO,
    LATENCY_TAIL_SIGMA,
    QUEUE_WAIT_MEDIAN_S,
    QUEUE_WAIT_SIGMA,
)
from services.simulator.fleet.fleet import Fleet
from services.simulator.fleet.profiles import PROFILES

SLO_UTILISATION = 0.85
"""Utilisation of a replica that runs at its SLO capacity; beyond 1 work piles up."""
TIMEOUT_S = 60.0
"""Requests give up after this long: the backlog is bounded."""
WAIT_POWER = 8.0
"""How late the wait bends upwards: about 0.2-0.6 s up to 90 % of utilisation."""


@dataclass(frozen=True, slots=True)
class ResponseState:
    """Work waiting at the end of the last step.

    Attributes:
        backlog: (W,) in units of demand x seconds.
    """

    backlog: FloatArray


@dataclass(frozen=True, slots=True)
class Response:
    """Closed-loop indicators of one step.

    Attributes:
        values: (W, 7) in the order of `profiles.CLOSED_LOOP`.
        observed: (W, 7); latency and GPU indicators of a service without replicas do not exist.
        state: Backlog carried into the next step.
    """

    values: FloatArray
    observed: BoolArray
    state: ResponseState


class ResponseModel:
    """Closed-loop indicators of a generated fleet, step by step.

    Noise depends on (seed, step) only, so that the same allocation shows the same indicators.
    """

    def __init__(self, fleet: Fleet) -> None:
        """Take constants per workload from `fleet`."""
        profiles = [PROFILES[w.kind] for w in fleet.workloads]
        self._seed = fleet.seed
        self._step_s = float(fleet.step_s)
        self._raw_capacity = fleet.capacity / SLO_UTILISATION
        self._service_s = np.array([p.service_s for p in profiles])
        self._gpu_memory = np.array([p.gpu_memory_gib for p in profiles])
        self._pod_memory = np.array([p.pod_memory_gib for p in profiles])
        # queue waits scale with the service: 0.2 s was measured where a request takes 15 s
        self._wait_s = QUEUE_WAIT_MEDIAN_S * np.clip(self._service_s / 15.1, 0.02, 1.0)

    def initial_state(self) -> ResponseState:
        """No work waiting."""
        return ResponseState(np.zeros(self._service_s.size))

    def respond(
        self,
        step: int,
        demand: FloatArray,
        requests_rps: FloatArray,
        ready_mean: FloatArray,
        state: ResponseState,
    ) -> Response:
        """Indicators of step `step`.

        Args:
            step: Step index on the fleet's grid, the key of its noise.
            demand: (W,) true demand.
            requests_rps: (W,) request rate.
            ready_mean: (W,) time-mean ready replicas of the step.
            state: Backlog at its start.
        """
        rng = make_rng(self._seed, "response", step)
        capacity = np.maximum(ready_mean, 0.0) * self._raw_capacity
        is_serving = capacity > 0
        safe = np.where(is_serving, capacity, 1.0)
        backlog = np.maximum(state.backlog + (demand - capacity) * self._step_s, 0.0)
        backlog = np.minimum(backlog, TIMEOUT_S * np.maximum(capacity, self._raw_capacity))

        utilisation = np.clip(demand / safe, 0.0, 1.0)
        busy = np.where(backlog > 0, 1.0, utilisation)
        wait_s = self._waits(rng, busy) + 0.5 * (backlog + state.backlog) / safe
        latency_s, tail = self._latency(rng, busy)
        # requests in flight by Little's law, requests waiting by their mean wait
        queue = requests_rps * wait_s
        columns = [
            1e3 * (latency_s + wait_s),
            1e3 * (latency_s * tail + 1.5 * wait_s),
            queue,
            np.minimum(requests_rps, requests_rps * safe / np.maximum(demand, 1e-12)) * latency_s,
            self._pod_memory[:, 0]
            + self._pod_memory[:, 1] * busy
            + 0.02 * self._pod_memory[:, 0] * rng.standard_normal(busy.size),
            np.minimum(0.95 * busy * np.exp(0.25 * DUTY_SIGMA * rng.standard_normal(busy.size)), 1),
            self._gpu_memory[:, 0]
            + self._gpu_memory[:, 1] * busy
            + 0.02 * self._gpu_memory[:, 0] * rng.standard_normal(busy.size),
        ]
        values = np.stack(columns, axis=1)
        observed = np.repeat(is_serving[:, None], values.shape[1], axis=1)
        # a queue can be counted even when nobody serves it
        observed[:, 2] = True
        values[~observed] = np.nan
        return Response(values, observed, ResponseState(backlog))

    def _waits(self, rng: np.random.Generator, busy: FloatArray) -> FloatArray:
        climb = 1.0 + 2.0 * busy**WAIT_POWER / np.maximum(1.02 - busy, 0.02)
        noise = np.exp(0.4 * QUEUE_WAIT_SIGMA * rng.standard_normal(busy.size))
        return self._wait_s * climb * noise

    def _latency(self, rng: np.random.Generator, busy: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Median latency without waits in seconds, and p95 / p50."""
        slowdown = 1.0 + 0.35 * busy**3
        noise = np.exp(0.05 * rng.standard_normal(busy.size))
        tail = LATENCY_TAIL_RATIO * np.exp(
            0.4 * LATENCY_TAIL_SIGMA * rng.standard_normal(busy.size)
        )
        return self._service_s * slowdown * noise, np.maximum(tail, 1.05)


def request_rates(fleet: Fleet) -> FloatArray:
    """(W, T) request rates of a fleet that tells them.

    Where they are the demand and were not measured, what the fleet holds to be its demand.
    """
    rates = np.empty(fleet.demand.shape)
    for i, workload in enumerate(fleet.workloads):
        names = [spec.name for spec in workload.indicators]
        rates[i] = fleet.values[i, :, names.index("request_rate_rps")]
        if workload.demand == "request_rate_rps":
            rates[i] = np.where(np.isfinite(rates[i]), rates[i], fleet.demand[i])
    return rates
