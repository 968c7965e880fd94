"""Which series each indicator is made of, as one process has seen it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field

from services.ingest.samples import SECOND_US
from services.ingest.translate import PushedSeriesName

_SILENT_US = 300 * SECOND_US  # how long Prometheus repeats the last sample of a series


@dataclass(frozen=True, slots=True)
class _Owner:
    identity: int
    last_us: int


@dataclass(slots=True)
class SeriesOwners:
    """Which series each indicator is made of, as this process has seen it; safe to share.

    Attributes:
        max_entries: Indicators to remember; of more, those longest without a sample are forgotten.
    """

    max_entries: int = 200_000
    _known: OrderedDict[PushedSeriesName, _Owner] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def claim(self, name: PushedSeriesName, identity: int, span_us: tuple[int, int]) -> bool:
        """Whether a series with samples from the first to the last of `span_us` may be `name`."""
        with self._lock:
            owner = self._known.get(name)
            is_owner = owner is not None and owner.identity == identity
            is_free = owner is None or span_us[0] > owner.last_us + _SILENT_US
            if not (is_owner or is_free):
                return False
            last_us = max(span_us[1], owner.last_us) if is_owner and owner else span_us[1]
            self._known[name] = _Owner(identity, last_us)
            self._known.move_to_end(name)
            while len(self._known) > self.max_entries:
                self._known.popitem(last=False)
            return True

    def release(self, name: PushedSeriesName, identity: int) -> None:
        """A series has ended; another may follow it at once."""
        with self._lock:
            owner = self._known.get(name)
            if owner is not None and owner.identity == identity:
                del self._known[name]
