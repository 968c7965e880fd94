"""Measurements of whatever form as a trace, and what was made of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from services.ingest.series.prometheus import PrometheusSource
from services.simulator.fleet.trace import LoadedTrace, TraceOptions, fleet_of
from services.simulator.fleet.trace_file import TraceFile
from services.simulator.fleet.trace_metadata import (
    TraceMetadata,
    read_metadata,
)
from services.simulator.measurements.columns import (
    ColumnChoice,
    FoundColumns,
    find_columns,
    is_text,
)
from services.simulator.measurements.peaks import far_peaks
from services.simulator.measurements.prometheus import LIMITS, PrometheusRange, fetch_table
from services.simulator.measurements.remarks import remarks_of, with_remarks
from services.simulator.measurements.rows import MeasuredRows
from services.simulator.measurements.tables import read_table, with_names_as_written

SHOWN_NAMES = 3
"""Most workloads that a sentence lists."""


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
    choice, table = choice or ColumnChoice(), read_table(path)
    is_own = path.suffix == ".json"  # the rows themselves; metadata have the same name elsewhere
    metadata = TraceMetadata({}) if is_own else read_metadata(path)
    found = find_columns(table, choice, path.name, metadata.main_demand(table.column_names))
    table = with_names_as_written(table, path, found.workload)
    return _measurements(table, choice, metadata, path.stem, path.name)


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
    table = _with_bare_names(table, found.workload)
    indicators = (found.demand, *found.others)
    columns = metadata.columns([n for n in table.column_names if n in indicators])
    rows = MeasuredRows.of(table, found, [c.name for c in columns], name, label)
    series, interval_s, regularity = rows.on_a_grid(metadata.interval_s())
    trace = TraceFile(
        title=metadata.title(name),
        interval_s=interval_s,
        demand=found.demand,
        columns=columns,
        series=tuple(series),
        own_demand={} if choice.demand else metadata.own_demand(found.demand, columns),
    )
    unread = (f"not read: {', '.join(found.unread)}",) if found.unread else ()
    counted = rows.counters(found.demand, columns)
    said = (
        f"{_what_was_read(table, found, len(series))}; {rows.span()}, {_steps(trace)}",
        *(*unread, *remarks_of(table), *regularity, *counted),
        *far_peaks(series, [c.name for c in columns].index(found.demand)),
    )
    return Measurements(trace, name, said)


def _what_was_read(table: pa.Table, found: FoundColumns, n_workloads: int) -> str:
    whose = "one workload" if found.workload is None else f"workloads {found.workload!r}"
    counted = whose if found.workload is None else f"{whose} ({n_workloads})"
    others = f"; also read: {', '.join(found.others)}" if found.others else ""
    return (
        f"read {table.num_rows:,} rows: time {found.time!r} (UTC where it names no zone), "
        f"{counted}, demand {found.demand!r}{others}"
    )


def _steps(trace: TraceFile) -> str:
    """The length of the steps, and which workloads have a row in fewer of them."""
    longer = [f"{s.interval_s} s of {s.workload!r}" for s in trace.series if s.interval_s]
    more = f" and {len(longer) - SHOWN_NAMES} more" if len(longer) > SHOWN_NAMES else ""
    own = f" ({', '.join(longer[:SHOWN_NAMES])}{more})" if longer else ""
    return f"steps of {trace.interval_s} s{own}"


def _with_bare_names(table: pa.Table, column: str | None) -> pa.Table:
    """Names of workloads without the spaces around them, which would part one in two."""
    if column is None or not is_text(table.schema.field(column).type):
        return table
    names = table[column].cast(pa.string())
    bare = pc.utf8_trim_whitespace(names)
    n_changed = pc.sum(pc.not_equal(names, bare)).as_py() or 0
    if not n_changed:
        return table
    table = table.set_column(table.column_names.index(column), column, bare)
    return with_remarks(
        table, f"names in {column!r} are read without the spaces around them ({n_changed:,} rows)"
    )
