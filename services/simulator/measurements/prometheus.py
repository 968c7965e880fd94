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
from services.simulator.measurements.counters import COUNTER_ENDING, counter_warning, only_rises
from services.simulator.measurements.remarks import with_remarks

DEFAULT_STEP_S = 60
MAX_SERIES = 500
LIMITS = FetchLimits(timeout_s=60.0, max_bytes=256_000_000)
"""A study may take longer, and more, than a query that is asked each minute."""
MOST_POINTS = 500_000
"""Most values that are asked for of a series: a year of minutes, or two months of ten seconds."""
_SINCE = re.compile(r"([1-9][0-9]{0,4})([hdw])")
_COUNTER = re.compile(rf"[a-zA-Z_:][a-zA-Z0-9_:]*{COUNTER_ENDING}\b")
_RATE = re.compile(r"\b(i?rate|increase|i?delta)\s*\(")
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
            TraceError: `since` is no length, or one of too many values.
        """
        length = length_of(self.since)
        n_points = int(length.total_seconds()) // self.step_s
        if n_points > MOST_POINTS:
            raise TraceError(
                f"--since={self.since}: {n_points:,} values of each series in steps of "
                f"{self.step_s} s, at most {MOST_POINTS:,} are asked for; give a later --since or "
                "a longer --step"
            )
        return length


def length_of(since: str, longest: timedelta | None = None) -> timedelta:
    """Length of time that `--since` names.

    Args:
        since: Hours, days or weeks, e.g. `14d`.
        longest: The most that is allowed; None: anything.

    Raises:
        TraceError: It is none, or too long.
    """
    found = _SINCE.fullmatch(since)
    if found is None:
        raise TraceError(f"--since={since}: must be hours, days or weeks, e.g. 36h, 14d")
    length = timedelta(hours=int(found[1]) * _HOURS[found[2]])
    if longest is not None and length > longest:
        raise TraceError(f"--since={since}: ask for at most {longest.days}d")
    return length


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
    warnings: list[str] = []
    try:
        series = source.fetch_series(query, warnings.append)
    except SourceError as error:
        raise TraceError(" ".join(error.message.split())) from error
    if not series:
        raise TraceError(f"query {wanted.query!r} gives no series between {query.start_at} and now")
    if len(series) > MAX_SERIES:
        raise TraceError(
            f"query {wanted.query!r} gives {len(series)} series, at most {MAX_SERIES} are read; "
            "sum them by service, e.g. sum by (service) (...)"
        )
    names = series_names(series)
    table = pa.table(
        {
            "timestamp": np.concatenate([s.points.at_us // 1000 for s in series]),
            "workload": [n for n, s in zip(names, series, strict=True) for _ in s.points.at_us],
            "demand": np.concatenate([s.points.value for s in series]),
        }
    )
    warned = [f"the server warns: {' '.join(text.split())}" for text in dict.fromkeys(warnings)]
    return with_remarks(table, *warned, *_counters(series, wanted.query))


def _counters(series: Sequence[LabelledPoints], query: str) -> list[str]:
    """A word about a counter, by the name of its series, or in the query where that has none."""
    name = series[0].labels.get("__name__", "")
    in_query = None if _RATE.search(query) else _COUNTER.search(query)
    found = name if name.endswith(COUNTER_ENDING) else in_query and in_query[0]
    if not found or not all(only_rises(one.points.value) for one in series):
        return []
    return [f"{counter_warning(found)}, e.g. rate({found}[1m])"]


def series_names(series: Sequence[LabelledPoints]) -> list[str]:
    """A name for each series: the values of the labels that tell them apart.

    Where two values make the name of two others, as `a/b` and `c` that of `a` and `b/c`, each
    label stands beside its value.
    """
    labels = sorted({label for s in series for label in s.labels})
    telling = [k for k in labels if len({s.labels.get(k) for s in series}) > 1]
    if not telling:  # a single series
        shown = [v for k, v in sorted(series[0].labels.items()) if k != "__name__"]
        return ["/".join(shown) or series[0].labels.get("__name__", "query")]
    names = ["/".join(s.labels.get(k, "") for k in telling) for s in series]
    if len({name.strip() for name in names}) == len(names):
        return names
    return [", ".join(f"{k}={s.labels.get(k, '')!r}" for k in telling) for s in series]
