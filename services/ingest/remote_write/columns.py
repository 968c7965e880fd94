"""A remote write of version 1 read a column at a time, where it looks as senders write it. Pure.

Senders write all labels of a series first, then its samples, each a value and a time, or a time
alone where the value is zero. So all series are gone through at once, field by field. Whatever else
a message may hold is left to the general way of reading it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.ingest.remote_write.wire import RequestLimits
from services.ingest.series.samples import F64, I64, MOST_SERIES, Mask

_SERIES = _LABEL = 0x0A  # field 1, with a length
_SAMPLE = 0x12  # field 2, with a length
_VALUE = 0x09  # field 1, eight bytes
_TIME = 0x10  # field 2, a number
_GOES_ON = 0x80  # a byte of a number that is not its last
_TIME_BYTES = 6  # of times from 2005 to 2109, in milliseconds
_FULL, _ZERO = 10 + _TIME_BYTES, 1 + _TIME_BYTES  # sizes of samples, with and without a value
_MOST_LABELS = 64
_MOST_TURNS = 64  # samples of one series, unless all are of one size
_BEYOND = bytes(32)  # so that what follows the end can be looked at

Bytes = NDArray[np.uint8]


class WriteColumns(NamedTuple):
    """Series and samples of a remote write.

    Attributes:
        blocks: Bytes of the labels of each series.
        series: Number of the series of each sample, in order, (N,).
        at_ms: Its time, milliseconds since the epoch, (N,).
        value: Its value, (N,).
    """

    blocks: Sequence[bytes]
    series: I64
    at_ms: I64
    value: F64


@dataclass(frozen=True, slots=True)
class _Places:
    """Samples of a message: the series of each, in order, and where it begins, (N,)."""

    series: I64
    at: I64


@dataclass(frozen=True, slots=True)
class _Labels:
    """Where the labels of each series end, (N,), and how many all have."""

    end: I64
    n: int


def read_columns(content: bytes, limits: RequestLimits) -> WriteColumns | None:
    """Read a message; None where anything in it is not as senders write it, or too much."""
    places = _split(content)
    if places is None:
        return None
    starts, ends = (np.array(each, dtype=np.int64) for each in places)
    data = np.frombuffer(content + _BEYOND, dtype=np.uint8)
    labels = _skip_labels(data, starts, ends)
    if labels is None:
        return None
    found = _even(data, labels.end, ends) or _uneven(data, labels.end, ends)
    if found is None:
        return None
    counts = np.bincount(found.series, minlength=len(starts))
    is_zero = data[found.at + 1] == _ZERO
    if int(np.maximum(counts, 1).sum()) > limits.max_samples:
        return None
    if len(starts) + labels.n + len(found.at) > limits.max_fields:
        return None
    blocks = [
        content[start:end] for start, end in zip(starts.tolist(), labels.end.tolist(), strict=True)
    ]
    at_ms = _times(data, found.at + np.where(is_zero, 3, 12))
    value = data[found.at[:, None] + np.arange(3, 11)].view("<f8")[:, 0]
    return WriteColumns(blocks, found.series, at_ms, np.where(is_zero, 0.0, value))


def _split(content: bytes) -> tuple[list[int], list[int]] | None:
    """Where each series begins and ends; None where there is anything else, or too many."""
    starts, ends = [], []
    at, end = 0, len(content)
    try:
        while at < end:
            if content[at] != _SERIES:
                return None
            size = content[at + 1]
            at += 2
            if size >= _GOES_ON:
                more = content[at]
                at += 1
                size += (more << 7) - _GOES_ON
                if more >= _GOES_ON:
                    last = content[at]
                    at += 1
                    size += (last << 14) - (_GOES_ON << 7)
                    if last >= _GOES_ON:
                        return None
            starts.append(at)
            at += size
            ends.append(at)
            if len(ends) > MOST_SERIES:
                return None
    except IndexError:
        return None
    return (starts, ends) if starts and at == end else None


def _skip_labels(data: Bytes, starts: I64, ends: I64) -> _Labels | None:
    """The labels of the series; None: they are too many or too long."""
    at, n_labels = starts.copy(), 0
    going = np.arange(len(at))
    for _ in range(_MOST_LABELS):
        going = going[(at[going] < ends[going]) & (data[at[going]] == _LABEL)]
        if not len(going):
            return _Labels(at, n_labels)
        n_labels += len(going)
        place = at[going] + 1
        size, more = data[place].astype(np.int64), data[place + 1].astype(np.int64)
        is_long = size >= _GOES_ON
        if (is_long & (more >= _GOES_ON)).any():
            return None
        size += np.where(is_long, (more << 7) - _GOES_ON, 0)
        at[going] = place + 1 + is_long + size
        if (at > ends).any():
            return None
    return None


def _even(data: Bytes, at: I64, ends: I64) -> _Places | None:
    """Samples that all have a value, which tells where they are; None: they have not."""
    counts, rest = np.divmod(ends - at, _FULL + 2)
    if rest.any():
        return None
    series = np.repeat(np.arange(len(at)), counts)
    within = np.arange(len(series)) - np.repeat(np.cumsum(counts) - counts, counts)
    found = _Places(series, at[series] + (_FULL + 2) * within)
    is_full = _are_samples(data, found.at) & (data[found.at + 1] == _FULL)
    return found if is_full.all() else None


def _uneven(data: Bytes, at: I64, ends: I64) -> _Places | None:
    """Samples of either size, one of each series at a time; None: there is anything else."""
    at = at.copy()
    going = np.arange(len(at))
    parts = []
    for _ in range(_MOST_TURNS):
        going = going[at[going] < ends[going]]
        if not len(going):
            break
        if not _are_samples(data, at[going]).all():
            return None
        parts.append(_Places(going, at[going]))
        at[going] += data[at[going] + 1] + np.int64(2)
    if (at != ends).any():
        return None
    series = np.concatenate([part.series for part in parts] or [going])
    places = np.concatenate([part.at for part in parts] or [going])
    order = np.argsort(series, kind="stable")
    return _Places(series[order], places[order])


def _are_samples(data: Bytes, at: I64) -> Mask:
    """Check whether a sample that senders write is at each place, (N,)."""
    size = data[at + 1]
    is_full = (size == _FULL) & (data[at + 2] == _VALUE) & (data[at + 11] == _TIME)
    is_zero = (size == _ZERO) & (data[at + 2] == _TIME)
    time = data[(at + np.where(is_full, 12, 3))[:, None] + np.arange(_TIME_BYTES)]
    is_time = (time[:, :-1] >= _GOES_ON).all(axis=1) & (time[:, -1] < _GOES_ON)
    return np.asarray((data[at] == _SAMPLE) & (is_full | is_zero) & is_time, dtype=np.bool_)


def _times(data: Bytes, at: I64) -> I64:
    """Numbers of `_TIME_BYTES` bytes."""
    groups = data[at[:, None] + np.arange(_TIME_BYTES)].astype(np.int64) & (_GOES_ON - 1)
    return np.asarray((groups << 7 * np.arange(_TIME_BYTES)).sum(axis=1), dtype=np.int64)
