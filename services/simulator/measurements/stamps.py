"""Times of rows in whatever form they come, as milliseconds since the epoch."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from services.simulator.fleet.arrays import IntArray
from services.simulator.fleet.trace_metadata import TraceError

_UNITS = ((1e17, 1e-6), (1e14, 1e-3), (1e11, 1.0), (0.0, 1e3))
"""Smallest number that is taken for ns, µs, ms and s since the epoch, and its factor to ms."""


_FARTHEST = 1e19
"""No number of nanoseconds since the epoch that a date has is so large."""
_EARLIEST_S = 1e8
"""March 1973: smaller are days of a spreadsheet, minutes since a start, or numbers of rows."""
_DIGITS = {8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
"""Number of digits of a date without signs -> what they are."""
_YEARS = range(1970, 2100)
_FIRST_MS, _END_MS = (
    round(datetime(year, 1, 1, tzinfo=UTC).timestamp() * 1000)
    for year in (_YEARS.start, _YEARS.stop)
)
"""Of times that a trace may have, as milliseconds since the epoch."""


def epoch_ms(column: pa.ChunkedArray, name: str, label: str) -> IntArray:
    """(N,) milliseconds since the epoch; times without a zone are UTC.

    Args:
        column: Timestamps, dates, text of ISO 8601, or numbers since the epoch.
        name: Its name, for messages.
        label: What the table is called, for messages.

    Raises:
        TraceError: A row has no time, or one that cannot be read.
    """
    if column.null_count:
        raise TraceError(f"{label}: column {name!r} has {column.null_count} rows without a time")
    millis = _millis(column, name, label)
    odd = np.flatnonzero((millis < _FIRST_MS) | (millis >= _END_MS))
    if odd.size:
        row = int(odd[0])
        raise TraceError(
            f"{label}: column {name!r}, row {row + 1}: {str(column[row])[:40]} lies outside the "
            f"years {_YEARS[0]} to {_YEARS[-1]}; right is e.g. 2026-01-31T23:59:00Z"
        )
    return millis


def _millis(column: pa.ChunkedArray, name: str, label: str) -> IntArray:
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _of_timestamps(column)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _of_numbers(np.asarray(column.to_numpy(), dtype=float), name, label)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _of_text(column.to_pylist(), name, label)
    raise TraceError(f"{label}: column {name!r} is {kind}, must be a time")


def are_local(column: pa.ChunkedArray) -> bool:
    """Whether times name no zone, so that a clock that is set back shows an hour of them twice."""
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        texts = column.to_pylist()
        return all(datetime.fromisoformat(text.strip()).tzinfo is None for text in texts)
    return pa.types.is_timestamp(kind) and kind.tz is None


def _of_timestamps(column: pa.ChunkedArray) -> IntArray:
    zone = getattr(column.type, "tz", None)
    target = pa.timestamp("ms", tz=zone)
    millis = column.cast(target, safe=False).cast(pa.int64())
    return np.asarray(millis.to_numpy(), dtype=np.int64)


def _of_numbers(values: np.ndarray, name: str, label: str) -> IntArray:
    if not np.all(np.isfinite(values) & (values >= 0) & (values < _FARTHEST)):
        raise TraceError(f"{label}: column {name!r} has numbers that are no times since the epoch")
    if float(np.median(values)) < _EARLIEST_S or _are_dates(values):
        raise TraceError(
            f"{label}: column {name!r}: {values[0]:.15g} is no time since the epoch; "
            "send epoch seconds or ISO 8601, e.g. 2026-01-31T23:59:00Z"
        )
    factor = next(factor for least, factor in _UNITS if float(np.median(values)) >= least)
    return np.asarray(np.rint(values * factor), dtype=np.int64)


def _are_dates(values: np.ndarray) -> bool:
    """All are dates without signs, as 20260131 or 202601312359, which are read as if in 1976."""
    texts = {f"{value:.0f}" for value in np.unique(values)}
    form = _DIGITS.get(len(next(iter(texts))))
    return form is not None and bool(np.all(values == np.rint(values))) and _fit(texts, form)


def _fit(texts: set[str], form: str) -> bool:
    try:
        return all(datetime.strptime(text, form).year in _YEARS for text in texts)  # noqa: DTZ007
    except ValueError:
        return False


def _of_text(texts: list[str], name: str, label: str) -> IntArray:
    millis = np.empty(len(texts), dtype=np.int64)
    for row, text in enumerate(texts):
        try:
            at = datetime.fromisoformat(text.strip())
        except ValueError as error:
            raise TraceError(
                f"{label}: column {name!r}, row {row + 1}: {text[:40]!r} is no time; "
                "right is e.g. 2026-01-31T23:59:00Z"
            ) from error
        aware = at if at.tzinfo else at.replace(tzinfo=UTC)
        millis[row] = round(aware.timestamp() * 1000)
    return millis
