"""A fleet's measurements as the forecaster's series, growing as the replay goes on."""

from __future__ import annotations

import numpy as np

from forecaster import Series, WindowConfig, Windows, build_windows
from services.simulator.fleet import Fleet
from services.simulator.fleet.arrays import FloatArray
from services.simulator.fleet.meters import ServiceMeters


class MeasuredFleet:
    """Measurements of a fleet so far.

    Args:
        fleet: Workloads and grid.
        meters: Its meters; the history is read at once, the replay step by step.
    """

    def __init__(self, fleet: Fleet, meters: ServiceMeters) -> None:
        self._fleet = fleet
        self._meters = meters
        W, n, D = meters.history_values.shape
        self._values = np.full((W, fleet.n_steps, D), np.nan)
        self._observed = np.zeros(self._values.shape, dtype=bool)
        self._values[:, :n], self._observed[:, :n] = meters.history_values, meters.history_observed

    @property
    def n_workloads(self) -> int:
        """W."""
        return self._fleet.n_workloads

    def read(self, step: int, ready_mean: FloatArray) -> None:
        """Measure one more step of the replay."""
        self._values[:, step], self._observed[:, step] = self._meters.read(step, ready_mean)

    def demand(self, workload: int, until: int, n_steps: int) -> FloatArray:
        """The newest `n_steps` of measured demand before step `until`; NaN where unobserved."""
        column = self._demand_index(workload)
        span = slice(max(0, until - n_steps), until)
        seen = self._observed[workload, span, column]
        return np.where(seen, self._values[workload, span, column], np.nan)

    def series(self, until: int, n_most: int | None = None) -> list[Series]:
        """Every workload's steps before `until`, at most the newest `n_most`."""
        first = 0 if n_most is None else max(0, until - n_most)
        start_s = self._fleet.start_s + first * self._fleet.step_s
        found = []
        for i, workload in enumerate(self._fleet.workloads):
            specs = self._meters.indicators(i)
            values = np.nan_to_num(self._values[i, first:until]).astype(np.float32)
            found.append(
                Series(
                    workload.key,
                    values,
                    self._observed[i, first:until],
                    tuple(spec.name for spec in specs),
                    tuple(spec.level for spec in specs),
                    self._demand_index(i),
                    start_s,
                    self._fleet.step_s,
                )
            )
        return found

    def windows(self, until: int, window: WindowConfig) -> Windows:
        """Contexts whose origin is the last step before `until`."""
        longest_s = max(window.season_lags_s) + window.season_past * self._fleet.step_s
        n_most = max(window.context, longest_s // self._fleet.step_s + 1)
        return build_windows(self.series(until, n_most), window)

    def _demand_index(self, workload: int) -> int:
        names = [spec.name for spec in self._meters.indicators(workload)]
        return names.index(self._fleet.workloads[workload].demand)
