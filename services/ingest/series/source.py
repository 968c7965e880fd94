"""The protocol of a source that indicators are pulled from.

To add a source:

1. write a module beside `prometheus` with a class that meets `Source`;
2. make it in `sources.make_source` when its setting is given (`services/kernel/settings.py`);
3. add it to the sources that `tests/contract/ingest/test_source.py` holds to the protocol.

Pulling, back-fill and resampling know `Source` only, and stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.ingest.series.samples import F64, I64

UNREACHABLE = "unreachable"
FORBIDDEN = "forbidden"
TIMEOUT = "timeout"
BAD_STATUS = "bad_status"
BAD_QUERY = "bad_query"
NOT_EVALUATED = "not_evaluated"
"""The server could not: a store did not answer, a limit was reached, series do not match."""
TOO_LARGE = "too_large"
MALFORMED = "malformed"
SEVERAL_SERIES = "several_series"
PARTIAL = "partial"
"""A part of the data was missing, so that a sum is of the rest: it may pass."""
SERVER_REASONS = frozenset({UNREACHABLE, FORBIDDEN})
"""Reasons that are the same for every query; a timeout may be of one that asks for too much."""


class SourceError(Exception):
    """A query gave nothing that can be used.

    Args:
        reason: One of the words above; the label of `harmony_source_errors_total`.
        message: What is wrong and what would be right.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True, slots=True)
class RangeQuery:
    """Values of one expression at `start_at`, `start_at + resolution_s`, … up to `end_at`.

    Attributes:
        expression: In the language of the source, e.g. PromQL; `$step` is filled in already.
        start_at: First time.
        end_at: Last time.
        resolution_s: Seconds between times.
        lookback_s: How old a sample may be that answers for a time; None: as the server is set.
    """

    expression: str
    start_at: datetime
    end_at: datetime
    resolution_s: int
    lookback_s: int | None = None


@dataclass(frozen=True, slots=True)
class Points:
    """Evaluated values; a time without one is simply absent.

    Attributes:
        at_us: Microseconds since the epoch, ascending, (N,).
        value: Value, possibly NaN, (N,).
    """

    at_us: I64
    value: F64


@dataclass(frozen=True, slots=True)
class LabelledPoints:
    """One series of an answer.

    Attributes:
        labels: Its labels.
        points: Its values.
    """

    labels: dict[str, str]
    points: Points


class Source(Protocol):
    """Answers range queries."""

    name: str

    def fetch(self, query: RangeQuery) -> Points:
        """Evaluate `query`.

        Raises:
            SourceError: It fails, gives more than one series, or lacks a part of the data.
        """
        ...

    def fetch_series(self, query: RangeQuery) -> list[LabelledPoints]:
        """Evaluate `query`, which may give any number of series.

        Raises:
            SourceError: It fails, or lacks a part of the data.
        """
        ...

    def close(self) -> None:
        """Release connections."""
        ...
