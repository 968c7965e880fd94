"""The series of a remote write by the indicator that rules tell, and whether they may write it."""

from __future__ import annotations

from collections.abc import Collection, Mapping as Mapped
from datetime import datetime
from itertools import groupby

import numpy as np

from services.ingest.remote_write.claims import (
    ClaimingSeries,
    Mapping,
    claim,
    claim_all,
    series_of,
    shown_labels,
)
from services.ingest.remote_write.counts import HistogramSeries
from services.ingest.remote_write.histogram import BadHistogram, HistogramSample, read_histogram
from services.ingest.remote_write.pods import PodCount, PodCounter
from services.ingest.remote_write.protocol import RemoteWrite
from services.ingest.series.samples import (
    BAD_SAMPLE,
    NOT_FINITE,
    OTHER_REPLICA,
    STALE_MARKER,
    UNMAPPED,
    Rejection,
    Rejections,
    make_samples,
    to_us,
)
from services.ingest.series.translate import ParsedPush

EXPECTED = frozenset({UNMAPPED, STALE_MARKER, OTHER_REPLICA, NOT_FINITE})
"""What a sender does right: other series, ends of series, a second replica's copies, and NaN, which
is how PromQL says nothing."""


def n_left_out(rejected: tuple[Rejection, ...]) -> int:
    """Samples that were left out as they should be."""
    return sum(found.count for found in rejected if found.reason in EXPECTED)


def to_parsed(
    request: RemoteWrite, mapping: Mapping, now: datetime, others: Collection[int] = ()
) -> ParsedPush:
    """The samples of a remote write as those of a push; what is none of Harmony's is only counted.

    Args:
        request: The request.
        mapping: Tells the indicator of a series; its owners learn of the series here.
        now: Now; a sample of a time to come keeps no other series out for longer.
        others: Numbers of series that are read otherwise.
    """
    rejections = Rejections()
    origins = mapping.origins_of(request)
    if request.is_stale_marker.any():  # one that ends makes room for another of the same request
        positions = [number for number in range(len(origins)) if number not in others]
        series = series_of(request, origins, positions)
        owners = [one.position for one in series if claim(one, mapping, rejections, to_us(now))]
    else:
        owners = claim_all(request, mapping, rejections, to_us(now), others)
    names = [name for number in owners if (name := origins[number].name) is not None]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    renumber = np.full(len(origins), -1, dtype=np.int64)
    own = range(len(names)) if len(names) == len(numbers) else map(numbers.__getitem__, names)
    renumber[owners] = np.fromiter(own, dtype=np.int64)
    number = renumber[request.series]
    kept = (number >= 0) & ~request.is_stale_marker
    samples = make_samples(number[kept], request.at_us[kept], request.value[kept])
    return ParsedPush(tuple(numbers), samples, {}, rejections)


def to_counters(
    request: RemoteWrite,
    counts: Mapped[int, PodCount],
    mapping: Mapping,
    rejections: Rejections,
    now: datetime,
) -> list[PodCounter]:
    """Series of classic counters and buckets as those of single pods, by what they count."""
    if not counts:
        return []
    found, values = [], request.value.tolist()
    for one in series_of(request, mapping.origins_of(request), sorted(counts)):
        if not one.at_us or claim(one, mapping, rejections, to_us(now), is_pod=True) is None:
            continue
        kept = [number for number, is_marker in enumerate(one.is_marker) if not is_marker]
        pod = mapping.rules.pod_of(one.labels).series
        at_us = [one.at_us[number] for number in kept]
        value = [values[one.first + number] for number in kept]
        found.append(PodCounter(counts[one.position], pod, at_us, value))
    return found


def to_histograms(
    request: RemoteWrite, mapping: Mapping, rejections: Rejections, now: datetime
) -> list[HistogramSeries]:
    """Native histograms of the series that a rule maps; only these are read at all."""
    found = []
    origins = mapping.origins_of(request)
    for number, group in groupby(request.histograms, key=lambda one: one.series):
        raw = [one.raw for one in group]
        labels, origin = request.labels[number], origins[number]
        if origin.name is None:
            rejections.add(UNMAPPED, len(raw), "a native histogram that no rule matches")
            continue
        samples = [one for one in map(_read, raw) if isinstance(one, HistogramSample)]
        n_bad = len(raw) - len(samples)
        if n_bad:
            fault = next(one for one in map(_read, raw) if isinstance(one, str))
            rejections.add(BAD_SAMPLE, n_bad, f"{shown_labels(labels)}: a native histogram {fault}")
        samples.sort(key=lambda one: one.at_us)
        markers = [one.is_stale_marker for one in samples]
        at_us = [one.at_us for one in samples]
        series = ClaimingSeries(request, number, origin, 0, at_us, markers)
        values = tuple(one for one in samples if not one.is_stale_marker)
        is_pod = bool(values) and not any(one.is_gauge for one in values)
        name = claim(series, mapping, rejections, to_us(now), is_pod=is_pod)
        if name is not None and values:
            pod = mapping.rules.pod_of(labels).series if is_pod else None
            found.append(HistogramSeries(name, values, pod))
    return found


def _read(raw: bytes) -> HistogramSample | str:
    try:
        return read_histogram(raw)
    except BadHistogram as error:
        return str(error)
