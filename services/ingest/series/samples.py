"""Raw samples as columns, and the rules by which a value is refused. Pure numpy.

Times are integers, microseconds since the epoch, so that a sample lies in exactly one step whatever
the length of the step.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]

SECOND_US = 1_000_000

MOST_SERIES = 50_000
"""Series of one request: each may name another workload, and costs more than a sample does."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# DCGM answers 0x7ffffffffffffff0 (9.2e18) for "no value"; nothing that is measured is that large.
LARGEST_VALUE = 9.0e18

NOT_FINITE = "not_finite"
OUT_OF_RANGE = "out_of_range"
IMPLAUSIBLE = "implausible"
NEGATIVE = "negative"
FUTURE = "future"
ANCIENT = "ancient"
BAD_SAMPLE = "bad_sample"
BAD_TIME = "bad_time"
BAD_VALUE = "bad_value"
UNKNOWN_WORKLOAD = "unknown_workload"
UNKNOWN_INDICATOR = "unknown_indicator"
UNMAPPED = "unmapped"
STALE_MARKER = "stale_marker"
SEVERAL_SERIES = "several_series"
TOO_MANY_SERIES = "too_many_series"
OTHER_REPLICA = "other_replica"
FORBIDDEN_NAMESPACE = "forbidden_namespace"

# Units whose quantities may be below zero. Everything else that a GPU service reports is a count,
# a rate, a size, a share or a duration, where a negative value is a fault of the exporter.
SIGNED_UNITS = frozenset({"celsius", "fahrenheit", "delta", "difference", "signed", "slope"})


def to_us(at: datetime) -> int:
    """Microseconds since the epoch of an aware time."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def from_us(at_us: int) -> datetime:
    """Aware UTC time of microseconds since the epoch."""
    return _EPOCH + timedelta(microseconds=int(at_us))


def show_us(at_us: int) -> str:
    """`at_us` for a message, whatever its size."""
    try:
        return from_us(at_us).isoformat()
    except OverflowError:
        return f"{at_us / SECOND_US:g} s after the epoch"


def allows_negative(unit: str) -> bool:
    """Check whether a quantity in `unit` may be below zero."""
    return unit.strip().lower() in SIGNED_UNITS


@dataclass(frozen=True, slots=True)
class TimeSpan:
    """From the first to the last of some times, both within; microseconds since the epoch."""

    first_us: int
    last_us: int


@dataclass(frozen=True, slots=True)
class Samples:
    """N raw samples of several series, in order of arrival.

    Attributes:
        series: Number of the series of each sample, (N,).
        at_us: Microseconds since the epoch, (N,).
        value: Value, (N,).
    """

    series: I64
    at_us: I64
    value: F64

    def __len__(self) -> int:
        return len(self.series)

    def where(self, chosen: Mask | I64) -> Samples:
        """The chosen samples, in the same order."""
        return Samples(self.series[chosen], self.at_us[chosen], self.value[chosen])


def make_samples(series: object, at_us: object, value: object) -> Samples:
    """Samples from anything that numpy makes columns of."""
    return Samples(
        np.asarray(series, dtype=np.int64),
        np.asarray(at_us, dtype=np.int64),
        np.asarray(value, dtype=np.float64),
    )


def join_samples(parts: list[Samples]) -> Samples:
    """All samples of `parts`, in their order."""
    if not parts:
        return make_samples([], [], [])
    return Samples(
        np.concatenate([part.series for part in parts]),
        np.concatenate([part.at_us for part in parts]),
        np.concatenate([part.value for part in parts]),
    )


def sort_unique(samples: Samples) -> Samples:
    """Sorted by series and time; of samples with the same time the last to arrive stays."""
    order = np.lexsort((samples.at_us, samples.series))  # keeps the order of equals
    ordered = samples.where(order)
    is_last = np.ones(len(ordered), dtype=bool)
    same_series = ordered.series[1:] == ordered.series[:-1]
    is_last[:-1] = ~(same_series & (ordered.at_us[1:] == ordered.at_us[:-1]))
    return ordered.where(is_last)


@dataclass(frozen=True, slots=True)
class Rejection:
    """Samples refused for one reason."""

    reason: str
    count: int
    example: str


@dataclass(slots=True)
class Rejections:
    """Counts of refused samples by reason, each with its first example."""

    _found: dict[str, Rejection] = field(default_factory=dict)

    def copy(self) -> Rejections:
        """The same counts, to go on from."""
        return Rejections(dict(self._found))

    def add(self, reason: str, count: int, example: str) -> None:
        """Count `count` samples; the first example of a reason is kept."""
        if count <= 0:
            return
        known = self._found.get(reason)
        if known is None:
            self._found[reason] = Rejection(reason, count, example[:300])
        else:
            self._found[reason] = Rejection(reason, known.count + count, known.example)

    @property
    def n_rejected(self) -> int:
        """All refused samples."""
        return sum(rejection.count for rejection in self._found.values())

    def as_tuple(self) -> tuple[Rejection, ...]:
        """By reason, in order of appearance."""
        return tuple(self._found.values())


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds of the samples that are accepted, per series.

    Attributes:
        oldest_us: Oldest time of a sample, (n_series,): its step may still change.
        newest_us: Newest time of a sample, (n_series,).
        is_signed: Whether values below zero are possible, (n_series,).
        largest: Largest plausible value, (n_series,).
    """

    oldest_us: I64
    newest_us: I64
    is_signed: Mask
    largest: F64


def screen(samples: Samples, bounds: Bounds) -> tuple[Samples, dict[str, I64]]:
    """Split samples into those that can be used and those that cannot.

    Returns:
        The accepted samples, and per reason the positions of the refused ones.
    """
    value, at_us = samples.value, samples.at_us
    with np.errstate(invalid="ignore"):
        tests = (
            (NOT_FINITE, ~np.isfinite(value)),
            (OUT_OF_RANGE, np.abs(value) > LARGEST_VALUE),
            (IMPLAUSIBLE, value > bounds.largest[samples.series]),
            (NEGATIVE, (value < 0) & ~bounds.is_signed[samples.series]),
            (FUTURE, at_us > bounds.newest_us[samples.series]),
            (ANCIENT, at_us < bounds.oldest_us[samples.series]),
        )
    is_free = np.ones(len(samples), dtype=bool)
    refused: dict[str, I64] = {}
    for reason, fails in tests:
        found = fails & is_free
        if found.any():
            refused[reason] = np.flatnonzero(found)
            is_free &= ~found
    return samples.where(is_free), refused
