"""Meters of each service: the fleet's own indicators, and those of the closed loop.

Demand and what follows from it alone come from the fleet. Latency, queues and GPU indicators of a
generated fleet follow from the replicas that were ready.
"""

from __future__ import annotations

import numpy as np

from services.kernel.domain import IndicatorSpec
from services.simulator.fleet.arrays import BoolArray, FloatArray
from services.simulator.fleet.fleet import Fleet
from services.simulator.fleet.profiles import CLOSED_LOOP
from services.simulator.fleet.response import ResponseModel, request_rates


class ServiceMeters:
    """Reports the indicators of one step after the other, closed loop included.

    Args:
        fleet: Demand and exogenous indicators.
        history_ready: (W, n_history) time-mean ready replicas of the history.

    Attributes:
        history_values: (W, n_history, D') indicators of the history.
        history_observed: (W, n_history, D') whether each was observed.
    """

    def __init__(self, fleet: Fleet, history_ready: FloatArray) -> None:
        self._fleet = fleet
        self.history_values = fleet.values[:, : fleet.n_history].copy()
        self.history_observed = fleet.observed[:, : fleet.n_history].copy()
        if not fleet.has_closed_loop:
            return
        self._model = ResponseModel(fleet)
        self._requests_rps = request_rates(fleet)
        self._state = self._model.initial_state()
        closed = [self._respond(step, history_ready[:, step]) for step in range(fleet.n_history)]
        values = np.stack([value for value, _ in closed], axis=1)
        observed = np.stack([seen for _, seen in closed], axis=1)
        self.history_values = np.concatenate([self.history_values, values], axis=2)
        self.history_observed = np.concatenate([self.history_observed, observed], axis=2)

    @property
    def closed_loop(self) -> tuple[IndicatorSpec, ...]:
        """Indicators that the closed loop adds to each workload's own."""
        return CLOSED_LOOP if self._fleet.has_closed_loop else ()

    def indicators(self, workload: int) -> tuple[IndicatorSpec, ...]:
        """All D' indicators of a workload, in the order of the columns."""
        return (*self._fleet.workloads[workload].indicators, *self.closed_loop)

    def read(self, step: int, ready_mean: FloatArray) -> tuple[FloatArray, BoolArray]:
        """Indicators of step `step`; to be called once for each step of the replay, in order.

        Args:
            step: Step on the fleet's grid.
            ready_mean: (W,) time-mean ready replicas of the step.

        Returns:
            Values and observed mask, (W, D').
        """
        values, observed = self._fleet.values[:, step], self._fleet.observed[:, step]
        if not self._fleet.has_closed_loop:
            return values, observed
        closed, seen = self._respond(step, ready_mean)
        return np.concatenate([values, closed], axis=1), np.concatenate([observed, seen], axis=1)

    def _respond(self, step: int, ready: FloatArray) -> tuple[FloatArray, BoolArray]:
        demand = self._fleet.demand[:, step]
        rates = self._requests_rps[:, step]
        response = self._model.respond(step, demand, rates, ready, self._state)
        self._state = response.state
        # an outage of the scrape hides these as well as the exogenous ones
        is_scraped = self._fleet.observed[:, step].any(axis=1, keepdims=True)
        return response.values, response.observed & is_scraped
