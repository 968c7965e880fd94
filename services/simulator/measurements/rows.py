"""Rows of measurements, by workload and in the order of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from services.simulator.fleet.arrays import FloatArray, IntArray
from services.simulator.fleet.trace_file import TraceSeries
from services.simulator.fleet.trace_metadata import TraceColumn, TraceError
from services.simulator.measurements.columns import FoundColumns
from services.simulator.measurements.counters import COUNTER_ENDING, counter_warning, only_rises
from services.simulator.measurements.grid import (
    averaged,
    interval_of,
    likely_interval,
    own_interval,
    place_in_step,
    spacing,
    steps_shared,
)
from services.simulator.measurements.stamps import are_local, epoch_ms

MOST_STEPS_PER_ROW = 100
"""A workload that has a row in fewer steps than this could not be replayed anyhow."""
_HOUR_MS = 3_600_000
_HALF_A_YEAR_H = 4380
LARGEST = 1e30
"""Nothing measured is so large; single precision ends at 3e38, and spreads are products."""


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredRows:
    """Rows of each workload in the order of time.

    Attributes:
        names: W workloads.
        times_ms: Per workload (N,).
        values: Per workload (N, D).
        label: What the table is called.
        named_by: Column of the names; None: all rows are one workload's.
    """

    names: tuple[str, ...]
    times_ms: tuple[IntArray, ...]
    values: tuple[FloatArray, ...]
    label: str
    named_by: str | None = None

    @classmethod
    def of(
        cls, table: pa.Table, found: FoundColumns, columns: list[str], name: str, label: str
    ) -> MeasuredRows:
        """The rows of a table.

        Args:
            table: The table.
            found: Its columns.
            columns: The indicators, in the order that `values` is to have.
            name: Name of the one workload, where no column names any.
            label: What the table is called, for messages.

        Raises:
            TraceError: They cannot be used.
        """
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
            found.workload,
        )
        rows.refuse_repeats(table[found.time])
        rows.refuse_single_rows()
        return rows

    def refuse_single_rows(self) -> None:
        """Refuse rows of which no workload has two: what names them may be the row's own number."""
        if any(times.size > 1 for times in self.times_ms):
            return
        said = "" if self.named_by is None else f" by the names in {self.named_by!r}"
        hint = "" if self.named_by is None else "; --id '' takes all rows for one workload's"
        raise TraceError(f"{self.label} is too short: one row per workload{said}{hint}")

    def span(self) -> str:
        """From when to when there are rows."""
        first_ms = min(int(times[0]) for times in self.times_ms)
        last_ms = max(int(times[-1]) for times in self.times_ms)
        first, last = (np.datetime64(at // 1000, "s") for at in (first_ms, last_ms))
        return f"from {first}Z to {last}Z"

    def counters(self, demand: str, columns: Sequence[TraceColumn]) -> tuple[str, ...]:
        """A word about a demand that is counted up since a start, as its name says."""
        place = [c.name for c in columns].index(demand)
        is_counter = demand.endswith(COUNTER_ENDING) and all(
            only_rises(values[:, place]) for values in self.values
        )
        return (counter_warning(demand),) if is_counter else ()

    def refuse_repeats(self, column: pa.ChunkedArray) -> None:
        """Refuse several rows of one workload at one time.

        Args:
            column: The times as they were written: those without a zone may be of two hours.
        """
        for name, times in zip(self.names, self.times_ms, strict=True):
            repeats = np.flatnonzero(np.diff(times) == 0)
            if not repeats.size:
                continue
            at = np.datetime64(int(times[repeats[0]]), "ms")
            said = f"{self.label}: workload {name!r} has several rows at {at}"
            if _fill_hours(times, times[repeats]) and are_local(column):
                example = f"{np.datetime_as_string(at, 's')}+02:00"
                raise TraceError(
                    f"{said}, as at every time of that hour: where a clock was set back, write "
                    f"times with their offset, e.g. {example}, or in UTC; if "
                    "they are of two services, name the column that tells them apart with --id"
                )
            raise TraceError(
                f"{said}Z; name the column that tells them apart with --id, or add them up first"
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
        """Series on one grid, the seconds of its steps, and what was done, in sentences.

        Args:
            stated_s: Seconds of a step as metadata state them; None: to be found.
        """
        interval_s = interval_of(self.times_ms)
        self.refuse_gap(stated_s or interval_s or likely_interval(self.times_ms))
        rows = zip(self.names, self.times_ms, self.values, strict=True)
        if interval_s is not None and (stated_s is None or interval_s % stated_s == 0):
            step_s = stated_s or interval_s
            series = [TraceSeries(name, times // 1000, values) for name, times, values in rows]
            series = [_with_own_interval(one, step_s) for one in series]
            return series, step_s, _gaps_said(series, step_s)
        step_s = stated_s or likely_interval(self.times_ms)
        series, n_shared = [], 0
        for name, times, values in rows:
            own_s = spacing(times, step_s)
            begin = place_in_step(times, own_s)
            one = averaged(name, times, values, own_s, begin)
            series.append(_with_own_interval(one, step_s))
            n_shared += steps_shared(times, own_s, begin)
        n_empty = sum(_n_empty(one, step_s) for one in series)
        said = (
            f"the times are irregular: averaged over steps of {step_s} s, of which "
            f"{n_empty:,} hold no row and {n_shared:,} hold several"
        )
        return series, step_s, (said,)


def _fill_hours(times: IntArray, repeats: IntArray) -> bool:
    """Whether each time of an hour is there twice if one of it is, and no two such hours are near.

    So it is of local times where a clock was set back, once a year.
    """
    hours = np.unique(repeats // _HOUR_MS)
    rows = times[np.isin(times // _HOUR_MS, hours)]
    _, counts = np.unique(rows, return_counts=True)
    is_once_a_year = rows.size < times.size and (np.diff(hours) > _HALF_A_YEAR_H).all()
    return bool((counts == 2).all() and is_once_a_year)


def _with_own_interval(series: TraceSeries, interval_s: int) -> TraceSeries:
    own_s = own_interval(series.time_s, interval_s)
    return replace(series, interval_s=own_s) if own_s > interval_s else series


def _n_empty(series: TraceSeries, interval_s: int) -> int:
    """Steps without a row, of those that the workload's own interval has."""
    length_s = int(series.time_s[-1] - series.time_s[0])
    return length_s // (series.interval_s or interval_s) + 1 - series.time_s.size


def _gaps_said(series: Sequence[TraceSeries], interval_s: int) -> tuple[str, ...]:
    """A word about steps without a row: a clock that was put forward leaves out an hour of them."""
    missing = [_n_empty(one, interval_s) for one in series]
    n_empty = sum(missing)
    if not n_empty:
        return ()
    n_steps = n_empty + sum(one.time_s.size for one in series)
    worst = series[missing.index(max(missing))].workload
    most = f", most of {worst!r}: {max(missing):,}" if len(series) > 1 else ""
    return (f"{n_empty:,} of {n_steps:,} steps hold no row{most}",)


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
    """(N,) values, NaN where there is none; what is infinite stays so, to be refused.

    Whole numbers of more digits than a float has, as of a trace's id, are rounded.
    """
    return np.array(column.cast(pa.float64(), safe=False).to_numpy(), dtype=float)


def _owners(table: pa.Table, column: str | None, name: str, label: str) -> np.ndarray:
    if column is None:
        return np.full(table.num_rows, name)
    try:
        texts = table[column].cast(pa.string()).to_pylist()
    except pa.ArrowException as error:
        kind = table.schema.field(column).type
        hint = "; text must be UTF-8, so save it as that" if pa.types.is_binary(kind) else ""
        said = f"{label}: column {column!r} is {kind}, must name the workload{hint}"
        raise TraceError(said) from error
    return np.array(["(none)" if text is None else text for text in texts])
