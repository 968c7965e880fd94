"""The fleet's meters in the forms that the platform takes: push observations, bulk history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from services.ingest.pull.history import HistoryFrame, WorkloadHistory
from services.simulator.accounting import mean_ready
from services.simulator.engine.specs import Interval
from services.simulator.fleet import Fleet
from services.simulator.fleet.arrays import BoolArray, FloatArray
from services.simulator.fleet.meters import ServiceMeters
from services.simulator.request_meters import RequestMeters


class Reporter:
    """Reports a fleet's indicators to the platform.

    Args:
        fleet: W services.
        meters: Their indicators, which follow the first target of each.
        requests: Counts of their requests; None: they are not counted.
        past: (W, T) series of their requests in the history by name; empty: none were kept.
    """

    def __init__(
        self,
        fleet: Fleet,
        meters: ServiceMeters,
        requests: RequestMeters | None = None,
        past: Mapping[str, FloatArray] = MappingProxyType({}),
    ) -> None:
        self._fleet = fleet
        self._meters = meters
        self._requests = requests
        self._past = past

    def history(self) -> HistoryFrame:
        """The history but for its last step, which goes through the pipeline to start it."""
        return HistoryFrame(
            start_at=self._fleet.step_at(0),
            step_s=self._fleet.step_s,
            workloads=tuple(self._history(i) for i in range(self._fleet.n_workloads)),
        )

    def _history(self, workload: int) -> WorkloadHistory:
        n = self._fleet.n_history - 1
        past = np.zeros((n, 0))
        if self._past:
            past = np.stack([series[workload, :n] for series in self._past.values()], axis=1)
        values, observed = self._meters.history_values, self._meters.history_observed
        return WorkloadHistory(
            (*self._names(workload), *self._past),
            np.concatenate([values[workload, :n], past], axis=1),
            np.concatenate([observed[workload, :n], np.isfinite(past)], axis=1),
        )

    def last_of_history(self) -> list[dict[str, Any]]:
        """Observations of the last step of the history."""
        step = self._fleet.n_history - 1
        values, observed = self._meters.history_values, self._meters.history_observed
        seen = self._observations(step, values[:, step], observed[:, step])
        if self._requests is not None:  # where the counters begin: the first step rises from it
            seen += self._readings(self._requests.counters(), step + 1.0)
        return seen

    def __call__(self, step: int, intervals: Sequence[Sequence[Interval]]) -> list[dict[str, Any]]:
        """Observations of step `step`, given the (V,) histories of the replicas during it."""
        ready = np.array([mean_ready(pieces) for pieces in intervals])
        first = ready[: self._fleet.n_workloads]
        seen = self._observations(step, *self._meters.read(step, first))
        if self._requests is not None:
            self._requests.count(step - self._fleet.n_history, ready)
            seen += self._readings(self._requests.counters(), step + 1.0)
            seen += self._readings(self._requests.gauges(), step + 0.5)
        return seen

    def _names(self, workload: int) -> tuple[str, ...]:
        return tuple(indicator.name for indicator in self._meters.indicators(workload))

    def _observations(
        self, step: int, values: FloatArray, observed: BoolArray
    ) -> list[dict[str, Any]]:
        middle_s = self._fleet.start_s + (step + 0.5) * self._fleet.step_s
        return [
            {
                "namespace": workload.namespace,
                "workload": workload.name,
                "indicator": name,
                "samples": [[middle_s, float(values[i, j])]],
            }
            for i, workload in enumerate(self._fleet.workloads)
            for j, name in enumerate(self._names(i))
            if observed[i, j]
        ]

    def _readings(self, readings: Mapping[str, FloatArray], at_step: float) -> list[dict[str, Any]]:
        """Observations of (W,) readings by name, taken `at_step` steps after the fleet's start."""
        at_s = self._fleet.start_s + at_step * self._fleet.step_s
        return [
            {
                "namespace": workload.namespace,
                "workload": workload.name,
                "indicator": name,
                "samples": [[at_s, float(values[i])]],
            }
            for i, workload in enumerate(self._fleet.workloads)
            for name, values in readings.items()
        ]
