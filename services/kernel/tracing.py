"""One trace from a client's request, over the jobs that follow from it, to the patch it leads to.

The context travels as W3C Trace Context says: in the header `traceparent` of requests and of jobs,
and with a decision in its explanation. Contexts, ids and the header are those of OpenTelemetry's
API. They are there without its SDK too, since the log lines carry the ids; where a tracer of the
SDK is given, spans are recorded and exported.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    NoOpTracer,
    Span,
    SpanContext,
    TraceFlags,
    Tracer,
    format_span_id,
    format_trace_id,
    get_current_span,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from structlog.contextvars import bound_contextvars

HEADER = "traceparent"

_W3C = TraceContextTextMapPropagator()
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


class OnlyIds(NoOpTracer):
    """Makes ids and records nothing: the tracer where no SDK is loaded."""

    def start_span(
        self, name: str, context: Context | None = None, *args: Any, **kwargs: Any
    ) -> Span:
        """A span that nobody hears of; without a parent it begins a trace."""
        parent = get_current_span(context).get_span_context()
        trace_id = parent.trace_id if parent.is_valid else secrets.randbits(128)
        flags = parent.trace_flags if parent.is_valid else _SAMPLED
        return NonRecordingSpan(SpanContext(trace_id, secrets.randbits(64), False, flags))


_tracer: Tracer = OnlyIds()


def use_tracer(tracer: Tracer) -> Tracer:
    """Record spans of this process with `tracer`; returns the one before."""
    global _tracer
    before, _tracer = _tracer, tracer
    return before


def parse_traceparent(text: object) -> Context:
    """The context of a `traceparent`; an empty one where it is not one, as if there were none."""
    return _W3C.extract({HEADER: text} if isinstance(text, str) else {}, Context())


def to_headers() -> dict[str, str]:
    """Headers that carry the caller's span on; none where it is in none."""
    headers: dict[str, str] = {}
    _W3C.inject(headers)
    return headers


@contextmanager
def span(
    name: str,
    parent: Context | None = None,
    attributes: Mapping[str, str | int | float] | None = None,
) -> Iterator[SpanContext]:
    """A span of the trace of `parent`, else of the caller's, else of a new one.

    Log lines of the block carry its `trace_id` and `span_id`; an exception that leaves it is noted.

    Args:
        name: What is done, one of few words.
        parent: With a span of another process that this one follows from.
        attributes: With what.
    """
    given = {f"harmony.{key}": value for key, value in (attributes or {}).items()}
    with _tracer.start_as_current_span(name, context=parent or None, attributes=given) as made:
        context = made.get_span_context()
        trace_id, span_id = format_trace_id(context.trace_id), format_span_id(context.span_id)
        with bound_contextvars(trace_id=trace_id, span_id=span_id):
            yield context
