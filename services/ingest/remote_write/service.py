"""Use case: store what a Prometheus writes.

An indicator is one series, as in a pull, where a query must give one. A second series for the same
indicator is refused rather than mixed in, until the first has ended or has been silent for as long
as Prometheus itself would go on repeating it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from services.ingest.deps import IngestDeps
from services.ingest.push.service import write
from services.ingest.remote_write.protocol import RemoteWrite, RequestLimits, Version, decode
from services.ingest.series.owners import Claim, SeriesOwners
from services.ingest.series.rules import Labels, RemoteRules
from services.ingest.series.samples import (
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

SOURCE = "remote_write"
# What a sender does right: other series, ends of series, a second replica's copies, and NaN, which
# is how PromQL says nothing.
_EXPECTED = frozenset({UNMAPPED, STALE_MARKER, OTHER_REPLICA, NOT_FINITE})


@dataclass(frozen=True, slots=True)
class WriteResult:
    """Outcome of a remote write.

    Attributes:
        n_written: Samples stored.
        rejected: Samples that were not, by reason.
    """

    n_written: int
    rejected: tuple[Rejection, ...]

    @property
    def faults(self) -> tuple[Rejection, ...]:
        """Samples of `rejected` that the sender, its rules or the workloads have wrong."""
        return tuple(found for found in self.rejected if found.reason not in _EXPECTED)

    @property
    def n_done(self) -> int:
        """Samples that are done with: stored, or left out as they should be."""
        left_out = sum(found.count for found in self.rejected if found.reason in _EXPECTED)
        return self.n_written + left_out


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
    parsed = to_parsed(request, mapping, deps.clock.now())
    late_s = max(settings.late_s, settings.remote_write_late_s)
    result = write(deps, parsed, SOURCE, settings.model_copy(update={"late_s": late_s}))
    return WriteResult(result.n_accepted, result.rejected)


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
