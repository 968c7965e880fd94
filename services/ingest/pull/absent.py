"""Steps of which a source has nothing, where the user says that this means zero.

An empty answer alone never does: it may come from a misspelt query, or from a Prometheus that has
just lost its data. So a zero is read only after the indicator has been seen once, and never takes
the place of what is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from sqlalchemy import Connection

from services.ingest.push.service import SeriesRef
from services.ingest.series import repository
from services.ingest.series.repository import SeriesRange
from services.ingest.series.samples import SECOND_US, Samples, make_samples, to_us
from services.ingest.series.sources import RangeQuery

Asked = tuple[int, SeriesRef, RangeQuery]
"""Number of a series among those that were asked for, the series, and the query that answered."""


def find_zeros(connection: Connection, asked: Iterable[Asked], found: Samples) -> Samples:
    """Zeros for the steps of answered queries that have no value, neither now nor from before.

    Args:
        connection: An open transaction.
        asked: Series whose query was answered; the others are unknown.
        found: What the answers held; `series` is the number in `asked`.
    """
    series = [item for item in asked if item[1].indicator.is_absent_zero]
    if not series:
        return make_samples([], [], [])
    ranges = [_range(ref, query) for _, ref, query in series]
    keys = [(each.workload_id, each.indicator) for each in ranges]
    first_at = repository.first_observed(connection, keys)
    stored = repository.load_samples(connection, ranges)
    numbers: list[int] = []
    times_us: list[int] = []
    for position, (number, _, query) in enumerate(series):
        own = found.at_us[found.series == number]
        known = np.concatenate([own, stored.at_us[stored.series == position]])
        seen_at = first_at.get(keys[position])
        since_us = _first_us(own) if seen_at is None else to_us(seen_at)
        absent = absent_steps(query, known.tolist(), since_us)
        numbers += [number] * len(absent)
        times_us += absent
    return make_samples(numbers, times_us, np.zeros(len(numbers)))


def zeros_between(asked: Sequence[Asked], found: Samples) -> Samples:
    """The same in a history: from the first value on, since a source forgets what is older."""
    parts = [
        (number, absent_steps(query, own.tolist(), _first_us(own)))
        for number, ref, query in asked
        if ref.indicator.is_absent_zero
        for own in [found.at_us[found.series == number]]
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


def _first_us(own: np.ndarray[tuple[int], np.dtype[np.int64]]) -> int:
    """Time of the first value; after all others where there is none."""
    return int(own.min()) if len(own) else np.iinfo(np.int64).max


def _range(ref: SeriesRef, query: RangeQuery) -> SeriesRange:
    step_us = query.resolution_s * SECOND_US
    since_us = to_us(query.start_at) - step_us
    return SeriesRange(ref.workload.id, ref.indicator.name, since_us, to_us(query.end_at))
