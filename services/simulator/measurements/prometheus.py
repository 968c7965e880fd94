"""A range of a Prometheus query as a table of measurements."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from services.ingest.series.prometheus import FetchLimits, PrometheusSource
from services.ingest.series.source import LabelledPoints, RangeQuery, SourceError
from services.kernel.clock import floor_step
from services.simulator.fleet.trace_metadata import TraceError

DEFAULT_STEP_S = 60
MAX_SERIES = 500
LIMITS = FetchLimits(timeout_s=60.0, max_bytes=256_000_000)
"""A study may take longer, and more, than a query that is asked each minute."""
_SINCE = re.compile(r"([1-9][0-9]{0,4})([hdw])")
_HOURS = {"h": 1, "d": 24, "w": 168}


@dataclass(frozen=True, slots=True)
class PrometheusRange:
    """What is asked.

    Attributes:
        url: The server, e.g. http://prometheus:9090.
        query: PromQL; each series of its answer is a workload.
        since: Length of the range up to now, e.g. `14d`.
        step_s: Seconds between values.
    """

    url: str
    query: str
    since: str = "14d"
    step_s: int = DEFAULT_STEP_S

    def length(self) -> timedelta:
        """Length of the range.

        Raises:
            TraceError: `since` is no length.
        """
        return length_of(self.since)


def length_of(since: str) -> timedelta:
    """Length of time that `--since` names.

    Raises:
        TraceError: It is none.
    """
    found = _SINCE.fullmatch(since)
    if found is None:
        raise TraceError(f"--since={since}: must be hours, days or weeks, e.g. 36h, 14d")
    return timedelta(hours=int(found[1]) * _HOURS[found[2]])


def fetch_table(wanted: PrometheusRange, source: PrometheusSource, now: datetime) -> pa.Table:
    """A table with `timestamp`, `workload` and `demand`.

    Args:
        wanted: What is asked.
        source: Its server.
        now: End of the range.

    Raises:
        TraceError: The server cannot be asked, or the answer holds nothing that can be used.
    """
    end_at = floor_step(now, wanted.step_s)  # a server answers at the range's own times
    query = RangeQuery(wanted.query, end_at - wanted.length(), end_at, wanted.step_s)
    try:
        series = source.fetch_series(query)
    except SourceError as error:
        raise TraceError(error.message) from error
    if not series:
        raise TraceError(f"query {wanted.query!r} gives no series between {query.start_at} and now")
    if len(series) > MAX_SERIES:
        raise TraceError(
            f"query {wanted.query!r} gives {len(series)} series, at most {MAX_SERIES} are read; "
            "sum them by service, e.g. sum by (service) (...)"
        )
    names = series_names(series)
    return pa.table(
        {
            "timestamp": np.concatenate([s.points.at_us // 1000 for s in series]),
            "workload": [n for n, s in zip(names, series, strict=True) for _ in s.points.at_us],
            "demand": np.concatenate([s.points.value for s in series]),
        }
    )


def series_names(series: Sequence[LabelledPoints]) -> list[str]:
    """A name for each series: the values of the labels that tell them apart."""
    labels = sorted({label for s in series for label in s.labels})
    telling = [k for k in labels if len({s.labels.get(k) for s in series}) > 1]
    if not telling:  # a single series
        shown = [v for k, v in sorted(series[0].labels.items()) if k != "__name__"]
        return ["/".join(shown) or series[0].labels.get("__name__", "query")]
    return ["/".join(s.labels.get(k, "") for k in telling) for s in series]
