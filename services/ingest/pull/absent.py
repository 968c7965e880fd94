"""Steps of which a source has nothing, where the user says that this means zero.

An empty answer alone never does: it may come from a misspelt query, or from a Prometheus that has
just lost its data. So a zero is read only after the indicator has been seen once, and never takes
the place of what is known. Each zero is a sample of its own, so that one look at the samples before
tells; after an outage longer than these are kept the next value begins anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection

from services.ingest.series import repository
from services.ingest.series.known_series import SeriesRef
from services.ingest.series.repository import SeriesRange
from services.ingest.series.samples import I64, SECOND_US, Samples, make_samples, to_us
from services.ingest.series.source import RangeQuery


@dataclass(frozen=True, slots=True)
class SeriesQuery:
    """A query for one series.

    Attributes:
        number: Number of the series among those that are asked for together.
        ref: The series.
        query: The query.
    """

    number: int
    ref: SeriesRef
    query: RangeQuery


def find_zeros(connection: Connection, asked: Iterable[SeriesQuery], found: Samples) -> Samples:
    """Zeros for the steps of answered queries that have no value, neither now nor from before.

    Args:
        connection: An open transaction.
        asked: Queries that were answered; the other series are unknown.
        found: Samples of the answers; their series are the numbers of the queries.
    """
    series = [each for each in asked if each.ref.indicator.is_absent_zero]
    if not series:
        return make_samples([], [], [])
    ranges = [_range(each) for each in series]
    seen = repository.seen_before(connection, ranges)
    stored = repository.load_samples(connection, ranges)
    numbers: list[int] = []
    times_us: list[int] = []
    for position, each in enumerate(series):
        own = found.at_us[found.series == each.number]
        known = np.concatenate([own, stored.at_us[stored.series == position]])
        since_us = ranges[position].since_us if position in seen else _first_us(known)
        absent = absent_steps(each.query, known.tolist(), since_us)
        numbers += [each.number] * len(absent)
        times_us += absent
    return make_samples(numbers, times_us, np.zeros(len(numbers)))


def zeros_between(asked: Iterable[SeriesQuery], found: Samples) -> Samples:
    """The same in a history: from the first value on, since a source forgets what is older."""
    parts = [
        (each.number, absent_steps(each.query, own.tolist(), _first_us(own)))
        for each in asked
        if each.ref.indicator.is_absent_zero
        for own in [found.at_us[found.series == each.number]]
    ]
    numbers = [number for number, absent in parts for _ in absent]
    times_us = [at_us for _, absent in parts for at_us in absent]
    return make_samples(numbers, times_us, np.zeros(len(numbers)))


def absent_steps(query: RangeQuery, known_us: Sequence[int], since_us: int) -> list[int]:
    """Starts of the steps that `query` tells of, from `since_us` on, without those that are known.

    Only a query over whole steps comes here, so each step is evaluated once, at its end.
    """
    step_us = query.resolution_s * SECOND_US
    known = set(known_us)
    first_us, end_us = to_us(query.start_at) - step_us, to_us(query.end_at)
    starts = range(first_us, end_us, step_us)
    return [at_us for at_us in starts if at_us >= since_us and at_us not in known]


def _first_us(own: I64) -> int:
    """Time of the first value; after all others where there is none."""
    return int(own.min()) if len(own) else np.iinfo(np.int64).max


def _range(asked: SeriesQuery) -> SeriesRange:
    key, query = asked.ref.key, asked.query
    since_us = to_us(query.start_at) - query.resolution_s * SECOND_US
    return SeriesRange(key.workload_id, key.indicator, since_us, to_us(query.end_at))
