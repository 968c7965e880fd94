"""A trace: measurements of some workloads on one regular grid."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.simulator.fleet.arrays import FloatArray, IntArray
from services.simulator.fleet.trace_metadata import TraceColumn


@dataclass(frozen=True, slots=True)
class TraceSeries:
    """One workload's rows on its own regular grid.

    Attributes:
        workload: Name in the file.
        time_s: (N,) epoch seconds, a regular grid.
        values: (N, D) indicators, NaN where missing.
        interval_s: Seconds between its rows, where that is more than the file's.
    """

    workload: str
    time_s: IntArray
    values: FloatArray
    interval_s: int | None = None


@dataclass(frozen=True, slots=True)
class TraceFile:
    """All of it.

    Attributes:
        title: For reports.
        interval_s: Step length.
        demand: Name of the demand column.
        columns: Indicators, in the order of `TraceSeries.values`.
        series: One per workload.
        own_demand: Workload -> its demand column, where the metadata name another one.
    """

    title: str
    interval_s: int
    demand: str
    columns: tuple[TraceColumn, ...]
    series: tuple[TraceSeries, ...]
    own_demand: dict[str, str] = field(default_factory=dict)

    def hours(self) -> float:
        """From the first row of any workload to the last."""
        first = min(int(s.time_s[0]) for s in self.series)
        last = max(int(s.time_s[-1]) for s in self.series)
        return (last + self.interval_s - first) / 3600.0
