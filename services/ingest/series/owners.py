"""The series that each indicator is made of, as one process has seen them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from enum import Enum, auto

from services.ingest.series.samples import SECOND_US, TimeSpan
from services.ingest.series.translate import PushedSeriesName

_SILENT_US = 300 * SECOND_US  # how long Prometheus repeats the last sample of a series
_FAILOVER_US = 60 * SECOND_US


class Claim(Enum):
    """Relation of a series to the indicator that it names."""

    OWNER = auto()
    OTHER_SERIES = auto()
    OTHER_REPLICA = auto()


@dataclass(frozen=True, slots=True)
class Identity:
    """A series and who writes it, each as a number that is good within one process.

    Attributes:
        series: Tells series apart.
        replica: Tells apart the copies of one series that the replicas of a Prometheus write.
    """

    series: int
    replica: int


@dataclass(frozen=True, slots=True)
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
        with self._lock:
            owner = self._known.get(name)
            found = Claim.OWNER if owner is None else owner.claim(identity, span.first_us)
            if found is not Claim.OWNER:
                return found
            is_same = owner is not None and owner.identity == identity
            last_us = max(span.last_us, owner.last_us) if is_same and owner else span.last_us
            self._known[name] = _Owner(identity, last_us)
            self._known.move_to_end(name)
            while len(self._known) > self.max_entries:
                self._known.popitem(last=False)
            return found

    def release(self, name: PushedSeriesName, identity: Identity) -> None:
        """A series has ended; another may follow it at once."""
        with self._lock:
            owner = self._known.get(name)
            if owner is not None and owner.identity == identity:
                del self._known[name]
