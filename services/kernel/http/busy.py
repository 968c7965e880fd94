"""A bound on the requests that an application serves at a time."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.kernel import telemetry
from services.kernel.errors import Overloaded
from services.kernel.http.application import from_error

PROBES = frozenset({"/healthz", "/readyz", "/metrics"})
"""Paths that are always answered: they tell whether the process is well."""


class Busy:
    """Answers 503 to a request that would wait behind too many others.

    A request counts from when its body is here: who sends one slowly takes nobody's place.
    """

    def __init__(
        self, app: ASGIApp, name: str, most: int, apart: frozenset[str] = frozenset()
    ) -> None:
        """Let `most` requests in at a time.

        Args:
            app: Application.
            name: Value of the `app` label of the metric.
            most: Requests.
            apart: Paths that are counted elsewhere; probes are never.
        """
        self._app = app
        self._name = name
        self._most = most
        self._uncounted = PROBES | apart
        self._n = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"] in self._uncounted:
            await self._app(scope, receive, send)
            return
        if self._n >= self._most:
            telemetry.rate_limited_total.labels(self._name, "concurrency").inc()
            busy = Overloaded(f"{self._most} requests are being served; try again shortly")
            await from_error(busy)(scope, receive, send)
            return
        is_counted = False

        def count() -> None:
            nonlocal is_counted
            if not is_counted:
                is_counted = True
                self._n += 1

        async def counting() -> Message:
            message = await receive()
            if not message.get("more_body", False):
                count()
            return message

        headers = Headers(scope=scope)
        if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
            count()
        try:
            await self._app(scope, counting, send)
        finally:
            self._n -= is_counted
