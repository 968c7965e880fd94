"""Requests as the beginning of traces: a middleware of the APIs."""

from __future__ import annotations

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.kernel import tracing
from services.kernel.telemetry import get_logger

_QUIET = frozenset({"GET", "HEAD", "OPTIONS"})
_PROBES = frozenset({"/healthz", "/readyz", "/metrics"})  # asked every few seconds, of no interest


class TraceRequests:
    """Each request in a span of its own, which follows from the caller's where it names one.

    The answer carries its `traceparent`, so that a client can find the trace it has begun. Probes
    and scrapes are not traced.
    """

    def __init__(self, app: ASGIApp, name: str) -> None:
        """Trace the requests of `app`, whose log lines are of the component `name`."""
        self._app = app
        self._name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"] in _PROBES:
            await self._app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(tracing.HEADER.encode(), b"")
        parent = tracing.parse_traceparent(given.decode("latin-1"))
        started = time.perf_counter()
        statuses: list[int] = []

        async def observed(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])
                own = tracing.to_headers().items()
                added = [(key.encode(), value.encode()) for key, value in own]
                message["headers"] = [*message.get("headers", []), *added]
            await send(message)

        with tracing.span(f"{self._name} {scope['method']}", parent, {"path": scope["path"]}):
            try:
                await self._app(scope, receive, observed)
            finally:
                self._log(scope, statuses, time.perf_counter() - started)

    def _log(self, scope: Scope, statuses: list[int], elapsed_s: float) -> None:
        log = get_logger(self._name)
        say = log.debug if scope["method"] in _QUIET else log.info
        say(
            "request",
            method=scope["method"],
            route=getattr(scope.get("route"), "path", "unmatched"),
            status=statuses[0] if statuses else 0,
            duration_s=round(elapsed_s, 4),
        )
