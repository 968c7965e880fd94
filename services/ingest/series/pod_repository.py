"""SQL of counters of single pods."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from sqlalchemy import Connection, text

from services.ingest.series.samples import F64, I64, Samples, TimeSpan, from_us
from services.kernel.db import schema
from services.kernel.db.session import CopyTarget, copy_rows

_KEY = ("workload_id", "indicator", "observed_at", "series", "threshold_s")
_COLUMNS = (*_KEY, "value")


@dataclass(frozen=True, slots=True)
class PodSeries:
    """The columns that are the same in all rows of one counter of one pod."""

    workload_id: int
    indicator: str
    pod: int
    edge_s: float


@dataclass(frozen=True, slots=True, eq=False)
class PodReadings:
    """What is stored of one count of one workload.

    Attributes:
        samples: Readings; the series is a position in the two below.
        pod: (n_series,) the pod.
        edge_s: (n_series,) the edge that it counts up to.
    """

    samples: Samples
    pod: I64
    edge_s: F64


def write_readings(connection: Connection, series: Sequence[PodSeries], samples: Samples) -> None:
    """Store readings; one of a known time replaces the one before.

    Args:
        connection: An open transaction.
        series: Counters; of one that stands there twice the last reading of a time counts.
        samples: Their readings; the series is a position in `series`.
    """
    times = [from_us(at_us) for at_us in samples.at_us.tolist()]
    numbers, values = samples.series.tolist(), samples.value.tolist()
    # a statement may not touch a row twice, and senders do repeat themselves
    by_key = {
        (one.workload_id, one.indicator, at, one.pod, one.edge_s): value
        for one, at, value in zip((series[n] for n in numbers), times, values, strict=True)
    }
    target = CopyTarget(schema.series_observations, _COLUMNS, "update", _KEY)
    copy_rows(connection, target, [(*key, value) for key, value in by_key.items()])


def load_readings(
    connection: Connection, workload_id: int, indicator: str, span: TimeSpan
) -> PodReadings:
    """Readings of all pods within `span`, both ends included."""
    statement = text(
        "SELECT (extract(epoch FROM observed_at) * 1000000)::bigint, series, threshold_s, value "
        "FROM series_observations WHERE workload_id = :id AND indicator = :name "
        "AND observed_at BETWEEN :first AND :last"
    )
    values = {
        "id": workload_id,
        "name": indicator,
        "first": from_us(span.first_us),
        "last": from_us(span.last_us),
    }
    rows = connection.execute(statement, values).all()
    at_us = np.array([row[0] for row in rows], dtype=np.int64)
    keys = [(int(row[1]), float(row[2])) for row in rows]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    series = np.array([numbers[key] for key in keys], dtype=np.int64)
    value = np.array([row[3] for row in rows], dtype=np.float64)
    return PodReadings(
        Samples(series, at_us, value),
        np.array([pod for pod, _ in numbers], dtype=np.int64),
        np.array([edge for _, edge in numbers], dtype=np.float64),
    )


def alive_pods(
    connection: Connection, counts: Iterable[tuple[int, str]], since: datetime
) -> dict[tuple[int, str], set[int]]:
    """Pods of each count, by workload and indicator, that were heard of since a time."""
    statement = text(
        "SELECT DISTINCT series FROM series_observations WHERE workload_id = :id "
        "AND indicator = :name AND observed_at >= :since"
    )
    found = {}
    for workload_id, name in sorted(set(counts)):
        values = {"id": workload_id, "name": name, "since": since}
        rows = connection.execute(statement, values)
        found[workload_id, name] = {int(row[0]) for row in rows}
    return found
