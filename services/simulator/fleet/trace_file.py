"""Reads a trace file of the shared parquet format, and says in one line what is wrong with it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from services.kernel.errors import InvalidInput
from services.simulator.fleet.arrays import FloatArray, IntArray


class TraceError(InvalidInput):
    """A trace that cannot be replayed; the message names what is wrong and what would be right."""

    code = "trace_error"


@dataclass(frozen=True, slots=True)
class TraceColumn:
    """One indicator column.

    Attributes:
        name: Column name in the file.
        level: 1 service, 2 container, 3 hardware.
        unit: Unit in words; a flow is counted per bin (`requests/bin`).
        is_derived: Computed from other columns of the file by whoever published it.
    """

    name: str
    level: int
    unit: str
    is_derived: bool = False

    @property
    def is_flow(self) -> bool:
        """Check whether bins add up when they are merged."""
        return self.unit.endswith("/bin")


@dataclass(frozen=True, slots=True)
class TraceSeries:
    """One workload's rows on its own regular grid.

    Attributes:
        workload: Name in the file.
        time_s: (N,) epoch seconds, a regular grid.
        values: (N, D) indicators, NaN where missing.
    """

    workload: str
    time_s: IntArray
    values: FloatArray


@dataclass(frozen=True, slots=True)
class TraceFile:
    """A whole file.

    Attributes:
        title: For reports.
        interval_s: Step length of the file.
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


def read_trace(path: Path, demand: str | None = None) -> TraceFile:
    """Read `path` and the metadata JSON next to it.

    Args:
        path: Parquet file with `timestamp`, `workload` and indicator columns.
        demand: Demand column; default: the one marked `main_demand` in the metadata.

    Raises:
        TraceError: Missing or unreadable file, missing columns, no demand, irregular grid.
    """
    table = _read_table(path)
    metadata = _read_metadata(path)
    for required in ("timestamp", "workload"):
        if required not in table.column_names:
            raise TraceError(
                f"{path.name} has no column {required!r}; found {', '.join(table.column_names)}"
            )
    columns = _columns(table, metadata, path)
    chosen = _demand_column(columns, metadata, demand, path)
    time_s = _epoch_seconds(table, path)
    names = np.asarray(table["workload"].cast(pa.string()).to_pylist(), dtype=object)
    values = np.stack(
        [np.asarray(table[c.name].cast(pa.float64()).to_numpy(), dtype=float) for c in columns],
        axis=1,
    )
    values[~np.isfinite(values)] = np.nan
    series = []
    for name in dict.fromkeys(names):
        rows = np.flatnonzero(names == name)
        rows = rows[np.argsort(time_s[rows], kind="stable")]
        series.append(TraceSeries(str(name), time_s[rows], values[rows]))
    interval_s = _interval(series, metadata, path)
    return TraceFile(
        title=str(metadata.get("title", path.stem)),
        interval_s=interval_s,
        demand=chosen,
        columns=columns,
        series=tuple(series),
        own_demand={} if demand else _own_demand(metadata, chosen, columns),
    )


def _own_demand(
    metadata: dict[str, object], demand: str, columns: tuple[TraceColumn, ...]
) -> dict[str, str]:
    """Workloads whose demand is not the file's main one."""
    workloads = metadata.get("workloads")
    if not isinstance(workloads, dict):
        return {}
    names = {c.name for c in columns}
    found = {}
    for name, entry in workloads.items():
        own = entry.get("demand_column") if isinstance(entry, dict) else None
        if own in names and own != demand:
            found[str(name)] = str(own)
    return found


def _read_table(path: Path) -> pa.Table:
    if not path.is_file():
        raise TraceError(f"no trace file at {path}; give a .parquet file")
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise TraceError(f"{path.name} is not a readable parquet file: {reason}") from error
    if table.num_rows == 0:
        raise TraceError(f"{path.name} has no rows")
    return table


def _read_metadata(path: Path) -> dict[str, object]:
    sidecar = path.with_suffix(".json")
    if not sidecar.is_file():
        return {}
    try:
        metadata = json.loads(sidecar.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise TraceError(f"{sidecar.name} is not valid JSON: {error}") from error
    if not isinstance(metadata, dict):
        raise TraceError(f"{sidecar.name} must hold a JSON object")
    return metadata


def _columns(table: pa.Table, metadata: dict[str, object], path: Path) -> tuple[TraceColumn, ...]:
    described = _described(metadata)
    columns = []
    for column in table.schema:
        if column.name in ("timestamp", "workload") or not _is_number(column.type):
            continue
        known = described.get(column.name, {})
        level = known.get("level", _level_from_prefix(column.name))
        level = level if level in (1, 2, 3) else 1
        is_derived = known.get("derived") is True
        columns.append(TraceColumn(column.name, int(level), str(known.get("unit", "")), is_derived))
    if not columns:
        raise TraceError(f"{path.name} has no numeric indicator column")
    return tuple(columns)


def _described(metadata: dict[str, object]) -> dict[str, dict[str, object]]:
    entries = metadata.get("indicators", [])
    if not isinstance(entries, list):
        return {}
    return {str(e["name"]): e for e in entries if isinstance(e, dict) and "name" in e}


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _level_from_prefix(name: str) -> int:
    return int(name[1]) if name[:1] == "l" and name[1:2] in "123" and name[2:3] == "_" else 1


def _demand_column(
    columns: tuple[TraceColumn, ...],
    metadata: dict[str, object],
    demand: str | None,
    path: Path,
) -> str:
    names = [c.name for c in columns]
    if demand is not None:
        if demand not in names:
            raise TraceError(
                f"demand column {demand!r} is not in {path.name}; available: {', '.join(names)}"
            )
        return demand
    marked = [n for n, entry in _described(metadata).items() if entry.get("main_demand") is True]
    if len(marked) == 1 and marked[0] in names:
        return marked[0]
    reason = "no metadata JSON beside it" if not metadata else "its metadata mark no main_demand"
    raise TraceError(
        f"{path.name}: {reason}; name the demand column with --demand, "
        f"available: {', '.join(names)}"
    )


def _epoch_seconds(table: pa.Table, path: Path) -> IntArray:
    column = table["timestamp"]
    if not pa.types.is_timestamp(column.type):
        raise TraceError(
            f"{path.name}: column 'timestamp' is {column.type}, must be a UTC timestamp"
        )
    if column.null_count:
        raise TraceError(f"{path.name}: column 'timestamp' has {column.null_count} empty rows")
    millis = column.cast(pa.timestamp("ms", tz="UTC")).cast(pa.int64()).to_numpy()
    if np.any(millis % 1000):
        raise TraceError(f"{path.name}: timestamps must be whole seconds")
    return np.asarray(millis // 1000, dtype=np.int64)


def _interval(series: list[TraceSeries], metadata: dict[str, object], path: Path) -> int:
    """Step length in seconds; every gap between rows must be a multiple of it."""
    gaps = np.concatenate([np.diff(s.time_s) for s in series if s.time_s.size > 1] or [np.empty(0)])
    if gaps.size == 0:
        raise TraceError(f"{path.name} is too short: one row per workload")
    if np.any(gaps <= 0):
        at = next(s for s in series if np.any(np.diff(s.time_s) <= 0))
        raise TraceError(f"{path.name}: workload {at.workload!r} repeats a timestamp")
    stated = metadata.get("interval_seconds")
    interval_s = int(stated) if isinstance(stated, int | float) else int(np.median(gaps))
    if interval_s <= 0:
        raise TraceError(f"{path.name}: interval_seconds={stated} must be > 0")
    irregular = gaps[gaps % interval_s != 0]
    if irregular.size:
        raise TraceError(
            f"{path.name}: irregular grid: a gap of {int(irregular[0])} s between rows is not a "
            f"multiple of the {interval_s} s interval"
        )
    return interval_s
