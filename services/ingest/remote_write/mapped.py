"""The series of a remote write by the indicator that rules tell, and whether they may write it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping as Mapped
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

import numpy as np

from services.ingest.remote_write.counts import HistogramSeries
from services.ingest.remote_write.histogram import BadHistogram, HistogramSample, read_histogram
from services.ingest.remote_write.pods import PodCount, PodCounter
from services.ingest.remote_write.protocol import RemoteWrite
from services.ingest.series.owners import Claim, SeriesOwners
from services.ingest.series.rules import Labels, RemoteRules
from services.ingest.series.samples import (
    BAD_SAMPLE,
    FORBIDDEN_NAMESPACE,
    NOT_FINITE,
    OTHER_REPLICA,
    SEVERAL_SERIES,
    STALE_MARKER,
    UNMAPPED,
    Rejection,
    Rejections,
    TimeSpan,
    make_samples,
    to_us,
)
from services.ingest.series.translate import ParsedPush, PushedSeriesName

EXPECTED = frozenset({UNMAPPED, STALE_MARKER, OTHER_REPLICA, NOT_FINITE})
"""What a sender does right: other series, ends of series, a second replica's copies, and NaN, which
is how PromQL says nothing."""


def n_left_out(rejected: tuple[Rejection, ...]) -> int:
    """Samples that were left out as they should be."""
    return sum(found.count for found in rejected if found.reason in EXPECTED)


@dataclass(frozen=True, slots=True)
class Mapping:
    """Rules and owners that tell the indicator of a series.

    Attributes:
        rules: Rules of label matchers.
        owners: Which series an indicator is made of.
        namespaces: Those that may be written to; None: all of them.
    """

    rules: RemoteRules
    owners: SeriesOwners
    namespaces: frozenset[str] | None = None

    def is_permitted(self, name: PushedSeriesName) -> bool:
        """Check whether the sender may write this indicator."""
        return self.namespaces is None or name.namespace in self.namespaces


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
    numbers: dict[PushedSeriesName, int] = {}
    renumber = np.full(len(request.labels), -1, dtype=np.int64)
    is_marker = request.is_stale_marker
    for position, one in enumerate(_series_of(request)):
        if position in others:
            continue
        name = _claimed(one, mapping, rejections, to_us(now))
        if name is not None:
            renumber[position] = numbers.setdefault(name, len(numbers))
    number = renumber[request.series]
    kept = (number >= 0) & ~is_marker
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
    ends = np.searchsorted(request.series, np.arange(len(request.labels) + 1)).tolist()
    for position, one in enumerate(_series_of(request)):
        if position not in counts or not one.at_us:
            continue
        name = _claimed(one, mapping, rejections, to_us(now), is_pod=True)
        if name is None:
            continue
        own = values[ends[position] : ends[position + 1]]
        kept = [
            (at_us, value)
            for at_us, value, is_marker in zip(one.at_us, own, one.is_marker, strict=True)
            if not is_marker
        ]
        pod = mapping.rules.pod_of(one.labels).series
        found.append(
            PodCounter(counts[position], pod, [at for at, _ in kept], [value for _, value in kept])
        )
    return found


def _series_of(request: RemoteWrite) -> Iterator[_Series]:
    """Times and stale markers of each series."""
    ends = np.searchsorted(request.series, np.arange(len(request.labels) + 1)).tolist()
    times, markers = request.at_us.tolist(), request.is_stale_marker.tolist()
    for position, labels in enumerate(request.labels):
        inside = slice(ends[position], ends[position + 1])
        yield _Series(labels, times[inside], markers[inside])


def to_histograms(
    request: RemoteWrite, mapping: Mapping, rejections: Rejections, now: datetime
) -> list[HistogramSeries]:
    """Native histograms of the series that a rule maps; only these are read at all."""
    found = []
    for number, group in groupby(request.histograms, key=lambda one: one.series):
        raw = [one.raw for one in group]
        labels = request.labels[number]
        if mapping.rules.name_of(labels) is None:
            rejections.add(UNMAPPED, len(raw), "a native histogram that no rule matches")
            continue
        samples = [one for one in map(_read, raw) if isinstance(one, HistogramSample)]
        n_bad = len(raw) - len(samples)
        if n_bad:
            fault = next(one for one in map(_read, raw) if isinstance(one, str))
            rejections.add(BAD_SAMPLE, n_bad, f"{dict(labels)}: a native histogram {fault}")
        samples.sort(key=lambda one: one.at_us)
        markers = [one.is_stale_marker for one in samples]
        series = _Series(labels, [one.at_us for one in samples], markers)
        values = tuple(one for one in samples if not one.is_stale_marker)
        is_pod = bool(values) and not any(one.is_gauge for one in values)
        name = _claimed(series, mapping, rejections, to_us(now), is_pod=is_pod)
        if name is not None and values:
            pod = mapping.rules.pod_of(labels).series if is_pod else None
            found.append(HistogramSeries(name, values, pod))
    return found


def _read(raw: bytes) -> HistogramSample | str:
    try:
        return read_histogram(raw)
    except BadHistogram as error:
        return str(error)


@dataclass(frozen=True, slots=True)
class _Series:
    labels: Labels
    at_us: list[int]
    is_marker: list[bool]

    @property
    def n_values(self) -> int:
        return self.is_marker.count(False)

    def __str__(self) -> str:
        return "{" + ", ".join(f"{name}={value!r}" for name, value in self.labels[:20]) + "}"


def _claimed(
    one: _Series, mapping: Mapping, rejections: Rejections, now_us: int, *, is_pod: bool = False
) -> PushedSeriesName | None:
    """The indicator that a series may write; None where it may not, which is counted.

    A pod's counter has no other series beside it, but the copies of a second Prometheus.
    """
    n_samples, n_values = len(one.at_us), one.n_values
    name = mapping.rules.name_of(one.labels)
    if name is None:
        rejections.add(UNMAPPED, n_samples, f"no rule matches {one}")
        return None
    if not mapping.is_permitted(name):
        rule = "the API key is of other namespaces"
        rejections.add(FORBIDDEN_NAMESPACE, n_samples, f"{name}: {rule}")
        return None
    identity, place = mapping.rules.identity_of(one.labels), name
    if is_pod:
        identity = mapping.rules.pod_of(one.labels)
        place = name._replace(indicator=f"{name.indicator} {identity.series}")
    claim = Claim.OTHER_SERIES
    if n_values:
        span = TimeSpan(min(one.at_us), min(max(one.at_us), now_us))
        claim = mapping.owners.claim(place, identity, span)
        if claim is Claim.OTHER_SERIES:
            rule = "is a second series of it; aggregate them by a recording rule"
            rejections.add(SEVERAL_SERIES, n_values, f"{name}: {one} {rule}")
        elif claim is Claim.OTHER_REPLICA:
            rejections.add(OTHER_REPLICA, n_values, f"{name}: another replica writes it")
    if n_samples > n_values:
        rejections.add(STALE_MARKER, n_samples - n_values, f"{name}: has ended")
    if n_samples and one.is_marker[-1]:
        mapping.owners.release(place, identity)
    return name if claim is Claim.OWNER else None
