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
        return [self._series_of(i, until, n_most) for i in range(self.n_workloads)]

    def _series_of(self, workload: int, until: int, n_most: int | None) -> Series:
        first = 0 if n_most is None else max(0, until - n_most)
        specs = self._meters.indicators(workload)
        return Series(
            self._fleet.workloads[workload].key,
            np.nan_to_num(self._values[workload, first:until]).astype(np.float32),
            self._observed[workload, first:until],
            tuple(spec.name for spec in specs),
            tuple(spec.level for spec in specs),
            self._demand_index(workload),
            self._fleet.start_s + first * self._fleet.step_s,
            self._fleet.step_s,
        )

    def windows(self, until: int, window: WindowConfig) -> Windows:
        """Contexts whose origin is the last step before `until`.

        Of a workload whose demand is not known in a whole context, as in a long gap, it is the last
        one that told anything of it: what was forecast then stands until more is known.
        """
        longest_s = max(window.season_lags_s) + window.season_past * self._fleet.step_s
        n_most = max(window.context, longest_s // self._fleet.step_s + 1)
        series = [
            self._series_of(i, self._told_until(i, until, window.context), n_most)
            for i in range(self.n_workloads)
        ]
        return build_windows(series, window)

    def _told_until(self, workload: int, until: int, n_context: int) -> int:
        """`until`, or the last step before which a context holds some demand."""
        seen = np.flatnonzero(self._observed[workload, :until, self._demand_index(workload)])
        return min(until, int(seen[-1]) + n_context) if seen.size else until

    def _demand_index(self, workload: int) -> int:
        names = [spec.name for spec in self._meters.indicators(workload)]
        return names.index(self._fleet.workloads[workload].demand)
