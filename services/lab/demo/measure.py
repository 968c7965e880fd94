"""The measuring side of the replay: what each service reports of a step, and the history before.

Demand and what follows from it alone come from the fleet. Latency, queues and GPU indicators of a
generated fleet follow from the replicas that were really ready in the simulated cluster.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from services.ingest.history import HistoryFrame, WorkloadHistory
from services.kernel.domain import IndicatorSpec
from services.lab.cluster.specs import Interval
from services.lab.fleet import Fleet
from services.lab.fleet.profiles import CLOSED_LOOP
from services.lab.fleet.response import ResponseModel, request_rates

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


class ServiceMeters:
    """Reports the indicators of each step, closed loop included.

    Args:
        fleet: Demand and exogenous indicators.
        history_ready: (W, n_history) time-mean ready replicas of the history.
    """

    def __init__(self, fleet: Fleet, history_ready: FloatArray) -> None:
        self._fleet = fleet
        self._values = fleet.values[:, : fleet.n_history].copy()
        self._observed = fleet.observed[:, : fleet.n_history].copy()
        if not fleet.has_closed_loop:
            return
        self._model = ResponseModel(fleet)
        self._requests_rps = request_rates(fleet)
        self._state = self._model.initial_state()
        closed = [self._respond(step, history_ready[:, step]) for step in range(fleet.n_history)]
        values = np.stack([value for value, _ in closed], axis=1)
        observed = np.stack([seen for _, seen in closed], axis=1)
        self._values = np.concatenate([self._values, values], axis=2)
        self._observed = np.concatenate([self._observed, observed], axis=2)

    @property
    def closed_loop(self) -> tuple[IndicatorSpec, ...]:
        """Indicators that the closed loop adds to each workload's own."""
        return CLOSED_LOOP if self._fleet.has_closed_loop else ()

    def history(self) -> HistoryFrame:
        """The history but for its last step, which goes through the pipeline to start it."""
        n = self._fleet.n_history - 1
        return HistoryFrame(
            start_at=self._fleet.step_at(0),
            step_s=self._fleet.step_s,
            workloads=tuple(
                WorkloadHistory(self._names(i), self._values[i, :n], self._observed[i, :n])
                for i in range(self._fleet.n_workloads)
            ),
        )

    def last_of_history(self) -> list[dict[str, Any]]:
        """Observations of the last step of the history."""
        step = self._fleet.n_history - 1
        return self._observations(step, self._values[:, step], self._observed[:, step])

    def __call__(self, step: int, intervals: Sequence[Sequence[Interval]]) -> list[dict[str, Any]]:
        """Observations of step `step`, given the (W,) histories of the replicas during it."""
        values, observed = self._fleet.values[:, step], self._fleet.observed[:, step]
        if self._fleet.has_closed_loop:
            ready = np.array([_mean_ready(pieces) for pieces in intervals])
            closed, seen = self._respond(step, ready)
            values = np.concatenate([values, closed], axis=1)
            observed = np.concatenate([observed, seen], axis=1)
        return self._observations(step, values, observed)

    def _respond(self, step: int, ready: FloatArray) -> tuple[FloatArray, BoolArray]:
        demand = self._fleet.demand[:, step]
        rates = self._requests_rps[:, step]
        response = self._model.respond(step, demand, rates, ready, self._state)
        self._state = response.state
        # an outage of the scrape hides these as well as the exogenous ones
        is_scraped = self._fleet.observed[:, step].any(axis=1, keepdims=True)
        return response.values, response.observed & is_scraped

    def _names(self, workload: int) -> tuple[str, ...]:
        own = self._fleet.workloads[workload].indicators
        return tuple(indicator.name for indicator in (*own, *self.closed_loop))

    def _observations(
        self, step: int, values: FloatArray, observed: BoolArray
    ) -> list[dict[str, Any]]:
        middle_s = self._fleet.start_s + (step + 0.5) * self._fleet.step_s
        found = []
        for i, workload in enumerate(self._fleet.workloads):
            for j, name in enumerate(self._names(i)):
                if observed[i, j]:
                    found.append(
                        {
                            "namespace": workload.namespace,
                            "workload": workload.name,
                            "indicator": name,
                            "samples": [[middle_s, float(values[i, j])]],
                        }
                    )
        return found


def _mean_ready(pieces: Sequence[Interval]) -> float:
    total_s = sum(piece.end_s - piece.start_s for piece in pieces)
    if total_s <= 0:
        return 0.0
    return sum(piece.ready * (piece.end_s - piece.start_s) for piece in pieces) / total_s
