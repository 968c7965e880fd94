"""Series of registered workloads as columns: what a request needs of each is read once per version.

A request names each of its series. What is known of a series is a row here, so that a series seen
before costs one look into a dictionary, and all that follows is done for all series at once.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from services.ingest.series.catalog import IndicatorRef, WorkloadRef
from services.ingest.series.copy_encoding import KeyColumns, SeriesKey
from services.ingest.series.samples import I64, SECOND_US
from services.ingest.series.translate import PushedSeriesName

_MOST_INDICATORS = 2**20  # of one workload; orders of its series begin a workload's apart
_CAREFUL_WRITES = 50  # after one that failed and was done again
_NEVER_US = np.iinfo(np.int64).min
_COLUMNS = np.dtype(
    [
        ("workload_id", "i8"),
        ("order", "i8"),
        ("name", "i8"),
        ("shard", "i8"),
        ("step_s", "i8"),
        ("spec_version", "i8"),
        ("largest", "f8"),
        ("is_counter", "?"),
        ("is_signed", "?"),
        ("is_known_ahead", "?"),
        ("is_sli", "?"),
        ("is_pacing", "?"),
        ("is_gauge_load", "?"),
    ]
)


@dataclass(frozen=True, slots=True)
class SeriesRef:
    """A series of a known workload and indicator."""

    workload: WorkloadRef
    indicator: IndicatorRef

    @property
    def key(self) -> SeriesKey:
        """Key of its rows."""
        return SeriesKey(self.workload.id, self.indicator.name)

    def __str__(self) -> str:
        return f"{self.workload.namespace}/{self.workload.name} {self.indicator.name}"


@dataclass(frozen=True, slots=True)
class SeriesColumns:
    """N series as columns.

    Attributes:
        refs: The series, (N,).
        rows: What is known of each, by the names of `_COLUMNS`, (N,).
        names: Names of indicators, which `name` of a row is a position in.
        slots: Where `KnownSeries` has them, (N,); empty where it has not.
    """

    refs: Sequence[SeriesRef]
    rows: NDArray[np.void]
    names: Sequence[bytes]
    slots: I64

    @property
    def keys(self) -> KeyColumns:
        """Keys of the rows of each series."""
        return KeyColumns(self.rows["workload_id"], self.rows["name"], self.names)

    @property
    def step_us(self) -> I64:
        """Length of a step, (N,)."""
        return np.asarray(self.rows["step_s"] * SECOND_US, dtype=np.int64)

    def take(self, order: I64) -> SeriesColumns:
        """Some of the series, in this order."""
        refs = [self.refs[number] for number in order.tolist()]
        slots = self.slots[order] if len(self.slots) else self.slots
        return SeriesColumns(refs, self.rows[order], self.names, slots)


def series_columns(refs: Sequence[SeriesRef]) -> SeriesColumns:
    """Columns of any series, also of such as `KnownSeries` does not know."""
    names: dict[bytes, int] = {}
    rows = np.array([_row(ref, 0, names) for ref in refs], dtype=_COLUMNS)
    return SeriesColumns(refs, rows, tuple(names), np.zeros(0, dtype=np.int64))


@dataclass(slots=True)
class KnownSeries:
    """Series of the workloads that samples came for; safe to share.

    It holds no more than is registered: names that are not are not kept.
    """

    _slots: dict[PushedSeriesName, int] = field(default_factory=dict)
    _refs: list[SeriesRef] = field(default_factory=list)
    _workloads: dict[int, WorkloadRef] = field(default_factory=dict)
    _names: dict[bytes, int] = field(default_factory=dict)
    _name_list: list[bytes] = field(default_factory=list)
    _rows: NDArray[np.void] = field(default_factory=lambda: np.zeros(64, dtype=_COLUMNS))
    _newest_us: I64 = field(default_factory=lambda: np.full(64, _NEVER_US, dtype=np.int64))
    _n_careful: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def find(self, names: Sequence[PushedSeriesName]) -> I64:
        """Where each series is, (N,); -1: it is not known. What is found may have changed since."""
        found = list(map(self._slots.get, names))
        if None in found:
            return np.array([-1 if slot is None else slot for slot in found], dtype=np.int64)
        return np.array(found, dtype=np.int64)

    def learn(self, workload: WorkloadRef) -> None:
        """Take a workload as it is now."""
        with self._lock:
            if self._workloads.get(workload.id) is workload:
                return
            known = self._workloads.get(workload.id)
            gone = set() if known is None else known.indicators.keys() - workload.indicators
            for name in gone:
                self._slots.pop(PushedSeriesName(workload.namespace, workload.name, name), None)
            ranks = {name: rank for rank, name in enumerate(sorted(workload.indicators))}
            for name, indicator in workload.indicators.items():
                ref = SeriesRef(workload, indicator)
                key = PushedSeriesName(workload.namespace, workload.name, name)
                slot = self._slots.get(key, len(self._refs))
                if slot == len(self._refs):
                    self._add(ref)
                self._refs[slot] = ref
                self._rows[slot] = _row(ref, ranks[name], self._names)
                self._slots[key] = slot
            self._workloads[workload.id] = workload
            self._name_list += islice(self._names, len(self._name_list), None)

    def _add(self, ref: SeriesRef) -> None:
        if len(self._refs) == len(self._rows):  # new arrays: others may be reading these
            self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
            unknown = np.full_like(self._newest_us, _NEVER_US)
            self._newest_us = np.concatenate([self._newest_us, unknown])
        self._refs.append(ref)

    def columns(self, slots: I64) -> SeriesColumns:
        """Columns of the series at these places."""
        with self._lock:
            refs, rows = list(map(self._refs.__getitem__, slots.tolist())), self._rows[slots]
            used, rows["name"] = np.unique(rows["name"], return_inverse=True)
            names = list(map(self._name_list.__getitem__, used.tolist()))
            return SeriesColumns(refs, rows, names, slots)

    def forget(self, name: PushedSeriesName) -> None:
        """A series is of no active workload, or of none of its indicators."""
        with self._lock:
            slot = self._slots.pop(name, None)
            if slot is not None:
                self._workloads.pop(self._refs[slot].workload.id, None)

    def are_new(self, slots: I64, first_us: I64) -> bool:
        """Check whether samples of some series are later than all that this process has stored.

        Other processes may have stored them all the same: after `note_repeat` nothing is taken for
        new for a while.

        Args:
            slots: Where the series are, (N,).
            first_us: Time of the first sample of each, (N,).
        """
        with self._lock:
            if self._n_careful:
                self._n_careful -= 1
                return False
            return bool(np.all(first_us > self._newest_us[slots]))

    def note_repeat(self) -> None:
        """What was taken for new was there already."""
        with self._lock:
            self._n_careful = _CAREFUL_WRITES

    def note_stored(self, slots: I64, last_us: I64) -> None:
        """Samples up to these times are stored, (N,)."""
        with self._lock:
            np.maximum.at(self._newest_us, slots, last_us)


def _row(ref: SeriesRef, rank: int, names: dict[bytes, int]) -> tuple[object, ...]:
    workload, indicator = ref.workload, ref.indicator
    return (
        workload.id,
        workload.id * _MOST_INDICATORS + rank,
        names.setdefault(indicator.name.encode(), len(names)),
        workload.shard,
        workload.step_s,
        workload.spec_version,
        indicator.largest_sample,
        indicator.is_counter,
        indicator.is_signed,
        indicator.is_known_ahead,
        indicator.is_sli,
        indicator.is_pacing,
        indicator.is_gauge_load,
    )
