"""Layers before the admin application: headers, limits, proxies, other sites' pages."""

from __future__ import annotations

from contextlib import suppress

import redis
from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders, QueryParams
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.admin.deps import AdminDeps
from services.kernel.clock import REPLAY_HEADER, Clock
from services.kernel.http.application import HEAD_AS_GET
from services.kernel.http.busy import Busy
from services.kernel.security.addresses import parse_networks
from services.kernel.security.http import AddressLimits, TrustedProxies
from services.kernel.security.limits import address_limit
from services.kernel.security.origins import parse_origins

CONTENT_SECURITY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
HSTS = "max-age=31536000; includeSubDomains"
_ENDLESS = frozenset({"/v1/events"})
"""Streams, which are counted by themselves."""
_READ_BY_PAGES = ["ETag", "Location", "Retry-After"]


def install(app: FastAPI, deps: AdminDeps) -> None:
    """Put it before `app`; the last one added is the first that a request meets.

    Raises:
        ConfigurationError: A setting cannot be used.
    """
    settings = deps.settings
    trusted = parse_networks(settings.trusted_proxies, "HARMONY_TRUSTED_PROXIES")
    origins = parse_origins(settings.cors_origins)
    # its default level takes ten times as long for a tenth less
    app.add_middleware(GZipMiddleware, minimum_size=1024, compresslevel=2)
    if deps.limiter is not None:
        limiter, limit = deps.limiter, address_limit(settings)
        app.add_middleware(AddressLimits, take=lambda address: limiter.take(limit, address))
    app.add_middleware(Busy, name="admin", most=settings.max_concurrent_requests, apart=_ENDLESS)
    if origins:
        # no cookies: another site's page needs a key or a token of its own
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "If-Match", "Idempotency-Key"],
            expose_headers=_READ_BY_PAGES,
        )
    app.add_middleware(Heads)
    app.add_middleware(AddHeaders, replay=deps.clock if settings.clock == "replay" else None)
    app.add_middleware(TrustedProxies, trusted=trusted)


class Heads:
    """Answers HEAD as GET without the body, as every resource should (RFC 9110, 9.3.2)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"] in _ENDLESS:
            await self._app(scope, receive, send)
            return
        scope = {**scope, HEAD_AS_GET: True}
        if scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await self._app({**scope, "method": "GET"}, receive, without_body)


class AddHeaders:
    """Gives every answer the headers of security, where it has none of its own.

    One of `/v1` says what the time is where another one than now is replayed.
    """

    def __init__(self, app: ASGIApp, replay: Clock | None = None) -> None:
        self._app = app
        self._replay = replay

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                _add_headers(scope, message)
                if self._replay is not None and scope["path"].startswith("/v1/"):
                    with suppress(redis.RedisError):
                        now = await run_in_threadpool(self._replay.now)
                        MutableHeaders(scope=message)[REPLAY_HEADER] = now.isoformat()
            await send(message)

        await self._app(scope, receive, headed)


def _add_headers(scope: Scope, message: Message) -> None:
    headers = MutableHeaders(scope=message)
    for name, value in SECURITY_HEADERS.items():
        headers.setdefault(name, value)
    if scope["scheme"] == "https":
        headers.setdefault("Strict-Transport-Security", HSTS)
    if scope["path"].startswith("/static/"):
        is_versioned = "v" in QueryParams(scope["query_string"])
        headers["Cache-Control"] = (
            "public, max-age=31536000, immutable" if is_versioned else "no-cache"
        )
    else:
        headers.setdefault("Cache-Control", "no-store")
    if message["status"] == 401:
        headers.setdefault("WWW-Authenticate", 'Bearer realm="harmony"')
