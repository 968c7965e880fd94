"""One trace from a client's request, over the jobs that follow from it, to the patch it leads to.

The context travels as W3C Trace Context says: in the header `traceparent` of requests and of jobs,
and with a decision in its explanation. It is there with and without OpenTelemetry, since the log
lines carry its ids; where a backend is given, spans are recorded and exported too.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from structlog.contextvars import bound_contextvars

HEADER = "traceparent"
Attributes = Mapping[str, str | int | float]

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_INVALID_VERSION = "ff"
_SAMPLED = 1


@dataclass(frozen=True, slots=True)
class SpanContext:
    """Which span of which trace.

    Attributes:
        trace_id: 32 hexadecimal digits.
        span_id: 16 hexadecimal digits.
        is_sampled: Whether its spans are to be recorded, where anybody records spans.
    """

    trace_id: str
    span_id: str
    is_sampled: bool = True

    def to_header(self) -> str:
        """As a `traceparent`."""
        return f"00-{self.trace_id}-{self.span_id}-{int(self.is_sampled):02x}"


def parse_traceparent(text: object) -> SpanContext | None:
    """The context of a `traceparent`; None where it is not one, as if there were none."""
    found = _TRACEPARENT.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    version, trace_id, span_id, flags, rest = found.groups()
    is_known = version != _INVALID_VERSION and not (version == "00" and rest)
    if not is_known or not int(trace_id, 16) or not int(span_id, 16):
        return None
    return SpanContext(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))


class Backend(Protocol):
    """Records spans."""

    def span(
        self, name: str, parent: SpanContext | None, attributes: Attributes
    ) -> AbstractContextManager[SpanContext]:
        """A span that lasts as long as the block; an exception that leaves it is noted."""
        ...


class OnlyIds:
    """Makes ids and records nothing."""

    @contextmanager
    def span(
        self, name: str, parent: SpanContext | None, attributes: Attributes
    ) -> Iterator[SpanContext]:
        """A span that nobody hears of."""
        span_id = secrets.token_hex(8)
        if parent is None:
            yield SpanContext(secrets.token_hex(16), span_id)
        else:
            yield SpanContext(parent.trace_id, span_id, parent.is_sampled)


_current: ContextVar[SpanContext | None] = ContextVar("harmony_span", default=None)
_backend: Backend = OnlyIds()


def use_backend(backend: Backend) -> Backend:
    """Record spans of this process with `backend`; returns the one before."""
    global _backend
    before, _backend = _backend, backend
    return before


def current() -> SpanContext | None:
    """The span that the caller is in."""
    return _current.get()


def to_headers() -> dict[str, str]:
    """Headers that carry the caller's span on; none where it is in none."""
    found = current()
    return {} if found is None else {HEADER: found.to_header()}


@contextmanager
def span(
    name: str, parent: SpanContext | None = None, attributes: Attributes | None = None
) -> Iterator[SpanContext]:
    """A span of the trace of `parent`, else of the caller's, else of a new one.

    Log lines of the block carry its `trace_id` and `span_id`.

    Args:
        name: What is done, one of few words.
        parent: A span of another process that this one follows from.
        attributes: With what.
    """
    with _backend.span(name, parent or current(), attributes or {}) as context:
        token = _current.set(context)
        try:
            with bound_contextvars(trace_id=context.trace_id, span_id=context.span_id):
                yield context
        finally:
            _current.reset(token)
