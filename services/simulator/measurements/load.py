"""Measurements of whatever form as a trace, and what was made of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from services.ingest.series.prometheus import PrometheusSource
from services.simulator.fleet.arrays import FloatArray, IntArray
from services.simulator.fleet.trace import LoadedTrace, TraceOptions, fleet_of
from services.simulator.fleet.trace_file import TraceFile, TraceSeries
from services.simulator.fleet.trace_metadata import TraceError, TraceMetadata, read_metadata
from services.simulator.measurements.columns import ColumnChoice, FoundColumns, find_columns
from services.simulator.measurements.grid import averaged, interval_of, likely_interval
from services.simulator.measurements.prometheus import LIMITS, PrometheusRange, fetch_table
from services.simulator.measurements.stamps import epoch_ms
from services.simulator.measurements.tables import DECIMAL_COMMA, read_table

MOST_STEPS_PER_ROW = 100
"""A workload that has a row in fewer steps than this could not be replayed anyhow."""
LARGEST = 1e30
"""Nothing measured is so large; single precision ends at 3e38, and spreads are products."""


@dataclass(frozen=True, slots=True)
class Measurements:
    """A trace, and how it was read.

    Attributes:
        trace: The trace.
        name: A short name for reports.
        said: What was found and done, in sentences.
    """

    trace: TraceFile
    name: str
    said: tuple[str, ...]


def read_file(path: Path, choice: ColumnChoice | None = None) -> Measurements:
    """Read a file, and the metadata beside it where there are any (docs/traces.md).

    Raises:
        TraceError: One line that names what is wrong and what would be right.
    """
    table = read_table(path)
    is_own = path.suffix == ".json"  # the rows themselves; metadata have the same name elsewhere
    metadata = TraceMetadata({}) if is_own else read_metadata(path)
    return _measurements(table, choice or ColumnChoice(), metadata, path.stem, path.name)


def read_prometheus(wanted: PrometheusRange, now: datetime) -> Measurements:
    """Ask a Prometheus.

    Args:
        wanted: What is asked.
        now: End of the range.

    Raises:
        TraceError: One line that names what is wrong and what would be right.
        ConfigurationError: The URL is none.
    """
    source = PrometheusSource(wanted.url, LIMITS)
    try:
        table = fetch_table(wanted, source, now)
    finally:
        source.close()
    metadata = TraceMetadata({"title": wanted.query})
    return _measurements(table, ColumnChoice(), metadata, "prometheus", "the answer")


def load_trace(
    path: Path, options: TraceOptions | None = None, choice: ColumnChoice | None = None
) -> LoadedTrace:
    """Read a file as a fleet.

    Raises:
        TraceError: One line that names what is wrong and what would be right.
    """
    found = read_file(path, choice)
    return fleet_of(found.trace, found.name, options)


def _measurements(
    table: pa.Table, choice: ColumnChoice, metadata: TraceMetadata, name: str, label: str
) -> Measurements:
    found = find_columns(table, choice, label, metadata.main_demand(table.column_names))
    assert found.demand is not None
    indicators = (found.demand, *found.others)
    columns = metadata.columns([n for n in table.column_names if n in indicators])
    rows = _Rows.of(table, found, [c.name for c in columns], name, label)
    series, interval_s, regularity = rows.on_a_grid(metadata.interval_s())
    trace = TraceFile(
        title=metadata.title(name),
        interval_s=interval_s,
        demand=found.demand,
        columns=columns,
        series=tuple(series),
        own_demand={} if choice.demand else metadata.own_demand(found.demand, columns),
    )
    commas = ("numbers are read with a comma for the point",) if _has_commas(table) else ()
    said = (_what_was_read(table, found, len(series)), *commas, *regularity)
    return Measurements(trace, name, said)


def _has_commas(table: pa.Table) -> bool:
    return DECIMAL_COMMA in (table.schema.metadata or {})


def _what_was_read(table: pa.Table, found: FoundColumns, n_workloads: int) -> str:
    whose = "one workload" if found.workload is None else f"workloads {found.workload!r}"
    counted = whose if found.workload is None else f"{whose} ({n_workloads})"
    others = f"; also read: {', '.join(found.others)}" if found.others else ""
    return (
        f"read {table.num_rows:,} rows: time {found.time!r} (UTC where it names no zone), "
        f"{counted}, demand {found.demand!r}{others}"
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Rows of each workload in the order of time.

    Attributes:
        names: W workloads.
        times_ms: Per workload (N,).
        values: Per workload (N, D).
        label: What the table is called.
    """

    names: tuple[str, ...]
    times_ms: tuple[IntArray, ...]
    values: tuple[FloatArray, ...]
    label: str

    @classmethod
    def of(
        cls, table: pa.Table, found: FoundColumns, columns: list[str], name: str, label: str
    ) -> _Rows:
        times = epoch_ms(table[found.time], found.time, label)
        values = np.stack([_numbers(table[column]) for column in columns], axis=1)
        _refuse_beyond(values, columns, label)
        owners = _owners(table, found.workload, name, label)
        names, where = _by_appearance(owners)
        order = np.lexsort((times, where))
        ends = np.cumsum(np.bincount(where))[:-1]
        parts = np.split(order, ends)
        rows = cls(
            tuple(names),
            tuple(times[part] for part in parts),
            tuple(values[part] for part in parts),
            label,
        )
        rows.refuse_repeats()
        return rows

    def refuse_repeats(self) -> None:
        for name, times in zip(self.names, self.times_ms, strict=True):
            repeats = np.flatnonzero(np.diff(times) == 0)
            if repeats.size:
                at = np.datetime64(int(times[repeats[0]]), "ms")
                raise TraceError(
                    f"{self.label}: workload {name!r} has several rows at {at}Z; name the column "
                    "that tells them apart with --id, or add them up first"
                )

    def refuse_gap(self, step_s: int) -> None:
        """Refuse rows so far apart that next to nothing between them is known.

        One wrong time, a 0 or another century, would else make a grid that no memory holds.
        """
        first_ms = min(int(times[0]) for times in self.times_ms)
        last_ms = max(int(times[-1]) for times in self.times_ms)
        n_steps = (last_ms - first_ms) // (1000 * step_s) + 1
        n_rows = max(times.size for times in self.times_ms)
        if n_steps <= MOST_STEPS_PER_ROW * n_rows + MOST_STEPS_PER_ROW:
            return
        first, last = (np.datetime64(at // 1000, "s") for at in (first_ms, last_ms))
        raise TraceError(
            f"{self.label}: from {first}Z to {last}Z are {n_steps:,} steps of {step_s} s, and "
            f"no workload has more than {n_rows:,} rows; is one of these times wrong?"
        )

    def on_a_grid(self, stated_s: int | None) -> tuple[list[TraceSeries], int, tuple[str, ...]]:
        interval_s = interval_of(self.times_ms)
        self.refuse_gap(stated_s or interval_s or likely_interval(self.times_ms))
        rows = zip(self.names, self.times_ms, self.values, strict=True)
        if interval_s is not None and (stated_s is None or interval_s % stated_s == 0):
            series = [TraceSeries(name, times // 1000, values) for name, times, values in rows]
            return series, stated_s or interval_s, ()
        step_s = stated_s or likely_interval(self.times_ms)
        said = f"the times are irregular: averaged over steps of {step_s} s"
        return [averaged(*row, step_s) for row in rows], step_s, (said,)


def _by_appearance(owners: np.ndarray) -> tuple[list[str], IntArray]:
    """The names in the order in which they appear, and (N,) which of them each row has."""
    names = list(dict.fromkeys(owners.tolist()))
    place = {name: k for k, name in enumerate(names)}
    return names, np.array([place[name] for name in owners.tolist()], dtype=np.int64)


def _refuse_beyond(values: FloatArray, columns: list[str], label: str) -> None:
    """Refuse numbers that forecasts, of half the digits, would make infinite."""
    beyond = np.argwhere(np.abs(values) > LARGEST)  # which no unknown one is
    if beyond.size:
        row, column = (int(place) for place in beyond[0])
        raise TraceError(
            f"{label}: column {columns[column]!r}, row {row + 1}: {values[row, column]:g} is "
            f"larger than anything measured, {LARGEST:g} at most"
        )


def _numbers(column: pa.ChunkedArray) -> FloatArray:
    values = np.array(column.cast(pa.float64()).to_numpy(), dtype=float)
    values[~np.isfinite(values)] = np.nan
    return values


def _owners(table: pa.Table, column: str | None, name: str, label: str) -> np.ndarray:
    if column is None:
        return np.full(table.num_rows, name)
    try:
        texts = table[column].cast(pa.string()).to_pylist()
    except pa.ArrowException as error:
        kind = table.schema.field(column).type
        raise TraceError(f"{label}: column {column!r} is {kind}, must name the workload") from error
    return np.array(["(none)" if text is None else text for text in texts])
