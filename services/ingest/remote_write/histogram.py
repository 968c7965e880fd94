"""A native histogram as counts below a threshold. Pure.

Source of the format: the Prometheus Remote-Write specifications and "Native Histograms". A bucket
holds what lies above its lower edge, up to and with its upper one. Of a threshold between two edges
only bounds are known: nothing is interpolated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from google.protobuf.message import DecodeError

from services.ingest.proto import native_histogram_pb2 as proto
from services.ingest.remote_write.protocol import STALE_NAN_BITS
from services.ingest.series.samples import F64, I64

_CUSTOM_EDGES = -53
_SCHEMAS = range(-4, 9)
_GAUGE = 3
_FARTHEST_MS = 9_000_000_000_000_000
_MOST_BUCKETS = 10_000
_MOST_BYTES = 500_000  # what so many buckets take at most, above and below zero


class BadHistogram(ValueError):
    """A native histogram that cannot be read."""


class _Span(Protocol):
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class HistogramSample:
    """A native histogram at one time.

    Attributes:
        at_us: Microseconds since the epoch.
        is_gauge: A rate or another gauge, no cumulative count.
        is_stale_marker: It says that its series has ended, and nothing else.
        schema: Resolution of its buckets: 2^-schema edges to a factor of 2, or -53 for `custom`.
        custom: Its own edges, rising; empty where the schema tells them.
        total: All observations.
        lower: Lower edge of each bucket, not within it, (B,).
        upper: Upper edge of each bucket, within it, (B,).
        count: Observations in each bucket, (B,).
    """

    at_us: int
    is_gauge: bool
    is_stale_marker: bool
    schema: int
    custom: tuple[float, ...]
    total: float
    lower: F64
    upper: F64
    count: F64

    def good(self, threshold_s: float) -> float:
        """Observations that are surely at or below a threshold."""
        return float(self.count[self.upper <= threshold_s].sum())

    def upto(self, threshold_s: float) -> float:
        """Observations that may be at or below a threshold."""
        return float(self.count[self.lower < threshold_s].sum())

    def edges_beside(self, threshold_s: float) -> tuple[float, float]:
        """The edges next to a threshold; the same one twice where it is an edge.

        They follow from the resolution alone, empty buckets or not. Without one below it is minus
        infinity, without one above infinity.
        """
        if self.schema == _CUSTOM_EDGES:
            edges = np.array(self.custom)
        else:
            width = 2.0**-self.schema
            place = np.log2(threshold_s) / width
            edges = np.exp2(width * np.arange(np.floor(place) - 1, np.ceil(place) + 2))
        is_same = np.isclose(edges, threshold_s, rtol=1e-9, atol=0.0)
        if is_same.any():
            edge = float(edges[is_same][0])
            return edge, edge
        below, above = edges[edges < threshold_s], edges[edges > threshold_s]
        return float(below.max(initial=-np.inf)), float(above.min(initial=np.inf))


def read_histogram(raw: bytes) -> HistogramSample:
    """Read a native histogram, of integers or of floats.

    Raises:
        BadHistogram: It is none, or its buckets contradict each other.
    """
    if len(raw) > _MOST_BYTES:
        raise BadHistogram(f"takes {len(raw)} bytes; at most {_MOST_BYTES} hold all its buckets")
    try:
        found = proto.Histogram.FromString(raw)
    except DecodeError as error:
        raise BadHistogram(f"is no native histogram ({error})") from error
    is_float = found.WhichOneof("count") == "count_float"
    zero = found.zero_count_float if is_float else float(found.zero_count_int)
    positive = _counts(found.positive_counts, found.positive_deltas, is_float=is_float)
    negative = _counts(found.negative_counts, found.negative_deltas, is_float=is_float)
    upper, lower = _edges(found, _indices(found.positive_spans, len(positive)))
    # what is below zero is below any threshold: its edges do not matter, its number does
    _indices(found.negative_spans, len(negative))
    around = found.zero_threshold
    at_ms = max(-_FARTHEST_MS, min(_FARTHEST_MS, found.timestamp))
    return HistogramSample(
        at_us=at_ms * 1000,
        is_gauge=found.reset_hint == _GAUGE,
        is_stale_marker=int(np.float64(found.sum).view(np.uint64)) == STALE_NAN_BITS,
        schema=found.schema,
        custom=tuple(found.custom_values),
        total=found.count_float if is_float else float(found.count_int),
        lower=np.concatenate([[-np.inf, -around], lower]),
        upper=np.concatenate([[0.0, around], upper]),
        count=np.concatenate([[negative.sum(), zero], positive]),
    )


def _counts(floats: Sequence[float], deltas: Sequence[int], *, is_float: bool) -> F64:
    """Count of each bucket: as it is, or as the difference to the bucket before."""
    if is_float:
        return np.array(floats, dtype=np.float64)
    return np.cumsum(np.array(deltas, dtype=np.float64))


def _indices(spans: Sequence[_Span], n_buckets: int) -> I64:
    """Index of each bucket, (B,)."""
    if len(spans) > _MOST_BUCKETS:
        raise BadHistogram(f"has {len(spans)} spans of buckets; at most {_MOST_BUCKETS} are read")
    n_spanned = sum(span.length for span in spans)
    if n_spanned != n_buckets or n_buckets > _MOST_BUCKETS:
        raise BadHistogram(
            f"has {n_buckets} buckets and spans over {n_spanned}; both must be the same, at most "
            f"{_MOST_BUCKETS}"
        )
    parts, end = [np.zeros(0, dtype=np.int64)], 0
    for span in spans:
        parts.append(end + span.offset + np.arange(span.length, dtype=np.int64))
        end += span.offset + span.length
    return np.concatenate(parts)


def _edges(found: proto.Histogram, index: I64) -> tuple[F64, F64]:
    """Upper and lower edges of the buckets above zero."""
    if found.schema == _CUSTOM_EDGES:
        edges = np.array([-np.inf, *found.custom_values, np.inf])
        if len(index) and not 0 <= index.min() <= index.max() < len(edges) - 1:
            raise BadHistogram(f"has a bucket beyond its {len(edges) - 2} custom_values")
        return edges[index + 1], edges[index]
    if found.schema not in _SCHEMAS:
        raise BadHistogram(f"has schema={found.schema}, which must be -4 to 8, or -53")
    with np.errstate(over="ignore"):
        width = 2.0**-found.schema
        return np.exp2(index * width), np.exp2((index - 1) * width)
