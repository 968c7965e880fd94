"""Use case: store what a Prometheus writes.

An indicator is one series, as in a pull, where a query must give one. A second series for the same
indicator is refused rather than mixed in, until the first has ended or has been silent for as long
as Prometheus itself would go on repeating it. A native histogram is one series too; it becomes the
counts of an objective.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

import numpy as np

from services.ingest.deps import IngestDeps
from services.ingest.push.service import write
from services.ingest.remote_write.counts import N_COUNTS, HistogramSeries, add_counts
from services.ingest.remote_write.histogram import BadHistogram, HistogramSample, read_histogram
from services.ingest.remote_write.protocol import RemoteWrite, RequestLimits, Version, decode
from services.ingest.series import repository
from services.ingest.series.catalog import WorkloadName
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
from services.kernel.db.session import unit_of_work

SOURCE = "remote_write"
# What a sender does right: other series, ends of series, a second replica's copies, and NaN, which
# is how PromQL says nothing.
_EXPECTED = frozenset({UNMAPPED, STALE_MARKER, OTHER_REPLICA, NOT_FINITE})


@dataclass(frozen=True, slots=True)
class WriteResult:
    """Outcome of a remote write.

    Attributes:
        n_written: Samples stored; a native histogram is stored as three.
        rejected: Samples and histograms that were not, by reason.
        n_done: Samples that are done with: stored, or left out as they should be.
        n_histograms_done: Native histograms that are.
    """

    n_written: int
    rejected: tuple[Rejection, ...]
    n_done: int
    n_histograms_done: int

    @property
    def faults(self) -> tuple[Rejection, ...]:
        """Samples of `rejected` that the sender, its rules or the workloads have wrong."""
        return tuple(found for found in self.rejected if found.reason not in _EXPECTED)


def _n_left_out(rejected: tuple[Rejection, ...]) -> int:
    return sum(found.count for found in rejected if found.reason in _EXPECTED)


def remote_write(
    deps: IngestDeps, body: bytes, version: Version, namespaces: frozenset[str] | None = None
) -> WriteResult:
    """Store the samples of a remote write.

    Samples may be as late as a Prometheus repeats what it could not deliver, later than others.

    Args:
        deps: Dependencies.
        body: A Snappy block.
        version: What it holds.
        namespaces: Those that may be written to; None: all of them.

    Raises:
        BadRequest: The request cannot be read; nothing is stored.
        PayloadTooLarge: It is over a limit; nothing is stored.
    """
    settings = deps.settings
    limits = RequestLimits(settings.remote_write_max_bytes, settings.push_max_samples)
    request = decode(body, version, limits)
    mapping = Mapping(deps.remote_rules, deps.owners, namespaces)
    now = deps.clock.now()
    parsed = to_parsed(request, mapping, now)
    n_before = _n_left_out(parsed.rejections.as_tuple())
    histograms = to_histograms(request, mapping, parsed.rejections, now)
    n_histograms = _n_left_out(parsed.rejections.as_tuple()) - n_before
    n_counts, n_floats = n_histograms, len(parsed.samples)
    if histograms:
        names = {WorkloadName(one.name.namespace, one.name.workload) for one in histograms}
        with unit_of_work(deps.engine) as work:
            known = repository.find_workloads(work.connection, sorted(names), deps.catalog)
        parsed = add_counts(parsed, histograms, known)
        n_counts += len(parsed.samples) - n_floats
        n_histograms += (len(parsed.samples) - n_floats) // N_COUNTS
    late_s = max(settings.late_s, settings.remote_write_late_s)
    result = write(deps, parsed, SOURCE, settings.model_copy(update={"late_s": late_s}))
    n_done = result.n_accepted + _n_left_out(result.rejected) - n_counts
    return WriteResult(
        result.n_accepted, result.rejected, min(max(0, n_done), len(request.value)), n_histograms
    )


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


def to_parsed(request: RemoteWrite, mapping: Mapping, now: datetime) -> ParsedPush:
    """The samples of a remote write as those of a push; what is none of Harmony's is only counted.

    Args:
        request: The request.
        mapping: Tells the indicator of a series; its owners learn of the series here.
        now: Now; a sample of a time to come keeps no other series out for longer.
    """
    rejections = Rejections()
    numbers: dict[PushedSeriesName, int] = {}
    renumber = np.full(len(request.labels), -1, dtype=np.int64)
    is_marker = request.is_stale_marker
    ends = np.searchsorted(request.series, np.arange(len(request.labels) + 1)).tolist()
    times, markers = request.at_us.tolist(), is_marker.tolist()
    for position, labels in enumerate(request.labels):
        inside = slice(ends[position], ends[position + 1])
        one = _Series(labels, times[inside], markers[inside])
        name = _claimed(one, mapping, rejections, to_us(now))
        if name is not None:
            renumber[position] = numbers.setdefault(name, len(numbers))
    number = renumber[request.series]
    kept = (number >= 0) & ~is_marker
    samples = make_samples(number[kept], request.at_us[kept], request.value[kept])
    return ParsedPush(tuple(numbers), samples, {}, rejections)


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
        name = _claimed(series, mapping, rejections, to_us(now))
        values = tuple(one for one in samples if not one.is_stale_marker)
        if name is not None and values:
            found.append(HistogramSeries(name, values))
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
    one: _Series, mapping: Mapping, rejections: Rejections, now_us: int
) -> PushedSeriesName | None:
    """The indicator that a series may write; None where it may not, which is counted."""
    n_samples, n_values = len(one.at_us), one.n_values
    name = mapping.rules.name_of(one.labels)
    if name is None:
        rejections.add(UNMAPPED, n_samples, f"no rule matches {one}")
        return None
    if not mapping.is_permitted(name):
        rule = "the API key is of other namespaces"
        rejections.add(FORBIDDEN_NAMESPACE, n_samples, f"{name}: {rule}")
        return None
    identity = mapping.rules.identity_of(one.labels)
    claim = Claim.OTHER_SERIES
    if n_values:
        span = TimeSpan(min(one.at_us), min(max(one.at_us), now_us))
        claim = mapping.owners.claim(name, identity, span)
        if claim is Claim.OTHER_SERIES:
            rule = "is a second series of it; aggregate them by a recording rule"
            rejections.add(SEVERAL_SERIES, n_values, f"{name}: {one} {rule}")
        elif claim is Claim.OTHER_REPLICA:
            rejections.add(OTHER_REPLICA, n_values, f"{name}: another replica writes it")
    if n_samples > n_values:
        rejections.add(STALE_MARKER, n_samples - n_values, f"{name}: has ended")
    if n_samples and one.is_marker[-1]:
        mapping.owners.release(name, identity)
    return name if claim is Claim.OWNER else None
