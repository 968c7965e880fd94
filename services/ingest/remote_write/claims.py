"""Which series of a remote write may write the indicators that rules tell."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from services.ingest.remote_write.protocol import RemoteWrite
from services.ingest.series.owners import Claim, SeriesClaim, SeriesOwners
from services.ingest.series.rules import Labels, RemoteRules, SenderSeries
from services.ingest.series.samples import (
    FORBIDDEN_NAMESPACE,
    OTHER_REPLICA,
    SEVERAL_SERIES,
    STALE_MARKER,
    UNMAPPED,
    Rejections,
    TimeSpan,
)
from services.ingest.series.translate import PushedSeriesName


@dataclass(frozen=True, slots=True)
class Mapping:
    """Rules and owners that tell the indicator of a series.

    Attributes:
        rules: Rules of label matchers.
        owners: Which series an indicator is made of.
        namespaces: Those that may be written to; None: all of them.
        ahead_us: How far ahead of the clock a sample may be. A series that begins later claims
            nothing: its sender's clock is wrong, and what it sends is refused.
    """

    rules: RemoteRules
    owners: SeriesOwners
    namespaces: frozenset[str] | None = None
    ahead_us: int = 0

    def is_permitted(self, name: PushedSeriesName) -> bool:
        """Check whether the sender may write this indicator."""
        return self.namespaces is None or name.namespace in self.namespaces

    def origins_of(self, request: RemoteWrite) -> Sequence[SenderSeries]:
        """What the series of a request are."""
        return request.origins or list(map(self.rules.series_of, request.labels))


@dataclass(frozen=True, slots=True)
class ClaimingSeries:
    """One series of a request.

    Attributes:
        request: The request.
        position: Number of the series in it.
        origin: What it is.
        first: Number of its first sample.
        at_us: Times of its samples.
        is_marker: Which of them say that it has ended.
    """

    request: RemoteWrite
    position: int
    origin: SenderSeries
    first: int
    at_us: Sequence[int]
    is_marker: Sequence[bool]

    @property
    def labels(self) -> Labels:
        """Its labels."""
        return self.request.labels[self.position]


def series_of(
    request: RemoteWrite, origins: Sequence[SenderSeries], positions: Iterable[int]
) -> Iterator[ClaimingSeries]:
    """Some series of a request."""
    ends = np.searchsorted(request.series, np.arange(len(origins) + 1)).tolist()
    times, markers = request.at_us.tolist(), request.is_stale_marker.tolist()
    for position in positions:
        first, end, origin = ends[position], ends[position + 1], origins[position]
        own, is_marker = times[first:end], markers[first:end]
        yield ClaimingSeries(request, position, origin, first, own, is_marker)


def claim(
    one: ClaimingSeries,
    mapping: Mapping,
    rejections: Rejections,
    now_us: int,
    *,
    is_pod: bool = False,
) -> PushedSeriesName | None:
    """The indicator that a series may write; None where it may not, which is counted.

    A pod's counter has no other series beside it, but the copies of a second Prometheus.
    """
    n_samples = len(one.at_us)
    n_values = n_samples - sum(one.is_marker)
    name, identity = one.origin.name, one.origin.identity
    if name is None or not mapping.is_permitted(name):
        reason = UNMAPPED if name is None else FORBIDDEN_NAMESPACE
        rejections.add(reason, n_samples, _said(reason, name, one.labels))
        return None
    place = name
    if is_pod:
        identity = mapping.rules.pod_of(one.labels)
        place = name._replace(indicator=f"{name.indicator} {identity.series}")
    found = Claim.OTHER_SERIES
    if n_values and min(one.at_us) > now_us + mapping.ahead_us:
        found = Claim.OWNER
    elif n_values:
        span = TimeSpan(min(one.at_us), min(max(one.at_us), now_us))
        found = mapping.owners.claim(place, identity, span)
        if found is not Claim.OWNER:
            reason = _REASONS[found]
            rejections.add(reason, n_values, _said(reason, name, one.labels))
    if n_samples > n_values:
        rejections.add(STALE_MARKER, n_samples - n_values, f"{name}: has ended")
    if n_samples and one.is_marker[-1]:
        mapping.owners.release(place, identity)
    return name if found is Claim.OWNER else None


def claim_all(
    request: RemoteWrite,
    mapping: Mapping,
    rejections: Rejections,
    now_us: int,
    others: Collection[int] = (),
) -> list[int]:
    """Numbers of the series that may write the indicators that they name, where none ends.

    It is `claim` for all series that have samples, one after the other.

    Args:
        request: The request, without stale markers.
        mapping: Tells the indicator of a series; its owners learn of the series here.
        rejections: Counts the samples of the others.
        now_us: Now; a sample of a time to come keeps no other series out for longer.
        others: Numbers of series that are left alone.
    """
    origins = mapping.origins_of(request)
    starts = np.flatnonzero(np.diff(request.series, prepend=-1))
    if not len(starts):
        return []
    numbers = request.series[starts].tolist()
    first_us = np.minimum.reduceat(request.at_us, starts).tolist()
    last_us = np.minimum(np.maximum.reduceat(request.at_us, starts), now_us).tolist()
    faults = _Faults(dict(zip(numbers, np.diff(starts, append=len(request.series)), strict=True)))
    own = [origins[number] for number in numbers]
    places: Sequence[int] = range(len(numbers))
    if others or mapping.namespaces is not None or None in [one.name for one in own]:
        places = kept = []
        for place, (number, one) in enumerate(zip(numbers, own, strict=True)):
            if number in others:
                continue
            if one.name is None:
                faults.add(number, UNMAPPED)
            elif not mapping.is_permitted(one.name):
                faults.add(number, FORBIDDEN_NAMESPACE)
            else:
                kept.append(place)
    latest_us = now_us + mapping.ahead_us
    claiming = places
    if max(first_us) > latest_us:
        claiming = [place for place in places if first_us[place] <= latest_us]
    claims = [
        SeriesClaim(name, one.identity, first_us[place], last_us[place])
        for place, one in zip(claiming, map(own.__getitem__, claiming), strict=True)
        if (name := one.name) is not None
    ]
    relations = dict(zip(claiming, mapping.owners.claim_all(claims), strict=True))
    owners = []
    for place in places:
        found = relations.get(place, Claim.OWNER)
        if found is Claim.OWNER:
            owners.append(numbers[place])
        else:
            faults.add(numbers[place], _REASONS[found])
    for number, reason, n_samples in faults.in_order():
        said = _said(reason, origins[number].name, request.labels[number])
        rejections.add(reason, n_samples, said)
    return owners


@dataclass(slots=True)
class _Faults:
    """Samples that are refused, by reason: how many, and the first series with some.

    Attributes:
        sizes: Samples of each series.
    """

    sizes: dict[int, int]
    found: dict[str, _Fault] = field(default_factory=dict)

    def add(self, number: int, reason: str) -> None:
        """Refuse the samples of a series."""
        known = self.found.setdefault(reason, _Fault(number))
        known.first = min(known.first, number)
        known.n_samples += int(self.sizes[number])

    def in_order(self) -> Iterator[tuple[int, str, int]]:
        """First series, reason and samples, by the first series."""
        for reason, one in sorted(self.found.items(), key=lambda item: item[1].first):
            yield one.first, reason, one.n_samples


@dataclass(slots=True)
class _Fault:
    first: int
    n_samples: int = 0


_REASONS = {Claim.OTHER_SERIES: SEVERAL_SERIES, Claim.OTHER_REPLICA: OTHER_REPLICA}


def shown_labels(labels: Labels) -> str:
    """Labels for a message, as many and as long as one can hold."""
    return "{" + ", ".join(f"{label[:60]}={value[:60]!r}" for label, value in labels[:20]) + "}"


def _said(reason: str, name: PushedSeriesName | None, labels: Labels) -> str:
    """A series that is refused, in words."""
    shown = shown_labels(labels)
    return {
        UNMAPPED: f"no rule matches {shown}",
        FORBIDDEN_NAMESPACE: f"{name}: the API key is of other namespaces",
        SEVERAL_SERIES: f"{name}: {shown} is a second series of it; aggregate them by a "
        "recording rule",
        OTHER_REPLICA: f"{name}: another replica writes it",
    }[reason]
