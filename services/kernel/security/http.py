"""Protection of an HTTP application: proxies that are trusted, and limits of addresses.

Plain ASGI, so that nothing is buffered and streams go through.
"""

from __future__ import annotations

from typing import Protocol

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from services.kernel.errors import TooManyRequests
from services.kernel.http.application import from_error
from services.kernel.security.addresses import (
    Network,
    client_of,
    limited_name,
    parse_address,
    parse_networks,
)
from services.kernel.security.limits import Limiter, address_limit
from services.kernel.settings import Settings

_UNLIMITED_PATHS = frozenset({"/healthz"})


class AddressLimiter(Protocol):
    """Counts the requests of an address."""

    def __call__(self, address: str) -> None:
        """Count one.

        Raises:
            TooManyRequests: It is one too many.
        """
        ...


def protect(app: FastAPI, settings: Settings, limiter: Limiter | None) -> None:
    """Put trusted proxies and the limits of addresses before `app`.

    Raises:
        ConfigurationError: A setting cannot be used.
    """
    if limiter is not None:
        limit, take = address_limit(settings), limiter.take
        app.add_middleware(AddressLimits, take=lambda address: take(limit, address))
    trusted = parse_networks(settings.trusted_proxies, "HARMONY_TRUSTED_PROXIES")
    app.add_middleware(TrustedProxies, trusted=trusted)


class TrustedProxies:
    """Takes the client's address and scheme from proxies that are trusted, from nobody else."""

    def __init__(self, app: ASGIApp, trusted: tuple[Network, ...]) -> None:
        self._app = app
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope.get("client") and self._trusted:
            headers = Headers(scope=scope)
            peer = parse_address(scope["client"][0])
            if peer is not None and any(peer in network for network in self._trusted):
                forwarded = headers.getlist("x-forwarded-for")
                address = client_of(scope["client"][0], forwarded, self._trusted)
                scheme = headers.get("x-forwarded-proto", "").rpartition(",")[2].strip().lower()
                scope = dict(scope, client=(address, 0))
                if scheme in {"http", "https"}:
                    scope["scheme"] = scheme
        await self._app(scope, receive, send)


class AddressLimits:
    """Answers 429 to an address that asks too often; health is always answered."""

    def __init__(self, app: ASGIApp, take: AddressLimiter) -> None:
        self._app = app
        self._take = take

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        client = scope.get("client")
        if scope["type"] == "http" and client and scope["path"] not in _UNLIMITED_PATHS:
            try:
                await run_in_threadpool(self._take, limited_name(client[0]))
            except TooManyRequests as error:
                await from_error(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)
