"""The series that each indicator is made of, as one process has seen them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

from services.ingest.series.samples import SECOND_US, TimeSpan
from services.ingest.series.translate import PushedSeriesName

_SILENT_US = 300 * SECOND_US  # how long Prometheus repeats the last sample of a series
_FAILOVER_US = 60 * SECOND_US


class Claim(Enum):
    """Relation of a series to the indicator that it names."""

    OWNER = auto()
    OTHER_SERIES = auto()
    OTHER_REPLICA = auto()


class Identity(NamedTuple):
    """A series and who writes it, each as a number that is good within one process.

    Attributes:
        series: Tells series apart.
        replica: Tells apart the copies of one series that the replicas of a Prometheus write.
    """

    series: int
    replica: int


class SeriesClaim(NamedTuple):
    """What a request says of one series: its samples are from `first_us` to `last_us`."""

    name: PushedSeriesName
    identity: Identity
    first_us: int
    last_us: int


@dataclass(slots=True)
class _Owner:
    identity: Identity
    last_us: int

    def claim(self, identity: Identity, first_us: int) -> Claim:
        """Relation of a series whose samples begin at `first_us`."""
        if identity == self.identity:
            return Claim.OWNER
        if identity.series != self.identity.series:
            return Claim.OWNER if first_us > self.last_us + _SILENT_US else Claim.OTHER_SERIES
        return Claim.OWNER if first_us > self.last_us + _FAILOVER_US else Claim.OTHER_REPLICA


@dataclass(slots=True)
class SeriesOwners:
    """The series that each indicator is made of, as this process has seen them; safe to share.

    The replicas of a Prometheus read at different times, and readings of a counter that take turns
    would look like resets. So one of them is listened to, and the other after a minute of silence.

    Attributes:
        max_entries: Indicators to remember; of more, those longest without a sample are forgotten.
    """

    max_entries: int = 200_000
    _known: OrderedDict[PushedSeriesName, _Owner] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def claim(self, name: PushedSeriesName, identity: Identity, span: TimeSpan) -> Claim:
        """Relation of a series with samples over `span` to the indicator `name`."""
        return self.claim_all([SeriesClaim(name, identity, span.first_us, span.last_us)])[0]

    def claim_all(self, claims: Sequence[SeriesClaim]) -> list[Claim]:
        """Relations of series to the indicators that they name, one after the other."""
        found, known = [Claim.OWNER] * len(claims), self._known
        with self._lock:
            for number, (name, identity, first_us, last_us) in enumerate(claims):
                owner = known.get(name)
                if owner is not None and owner.identity == identity:
                    if last_us > owner.last_us:
                        owner.last_us = last_us
                    known.move_to_end(name)
                    continue
                if owner is not None:
                    found[number] = owner.claim(identity, first_us)
                if found[number] is Claim.OWNER:
                    known[name] = _Owner(identity, last_us)
                    known.move_to_end(name)
                    while len(known) > self.max_entries:
                        known.popitem(last=False)
        return found

    def release(self, name: PushedSeriesName, identity: Identity) -> None:
        """A series has ended; another may follow it at once."""
        with self._lock:
            owner = self._known.get(name)
            if owner is not None and owner.identity == identity:
                del self._known[name]
