"""Protection of an HTTP application: proxies that are trusted, and limits of addresses.

Plain ASGI, so that nothing is buffered and streams go through.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Protocol

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from services.kernel.errors import ConfigurationError, TooManyRequests
from services.kernel.http.application import from_error
from services.kernel.security.limits import Limiter, address_limit
from services.kernel.settings import Settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_UNLIMITED_PATHS = frozenset({"/healthz"})


class AddressLimiter(Protocol):
    """Counts the requests of an address."""

    def __call__(self, address: str) -> None:
        """Count one.

        Raises:
            TooManyRequests: It is one too many.
        """
        ...


def parse_networks(text: str, name: str) -> tuple[Network, ...]:
    """Networks and addresses, separated by commas.

    Raises:
        ConfigurationError: One of them is none; `name` is the variable.
    """
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise ConfigurationError(
            f"{name}={text!r}: {error}; it must list networks, e.g. 10.0.0.0/8,192.168.1.7"
        ) from error


def parse_address(text: str) -> Address | None:
    """An IP address, an IPv4 one also where it is written as IPv6; None: it is none."""
    try:
        found = ipaddress.ip_address(text.strip().strip("[]"))
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def client_of(peer: str, forwarded: Iterable[str], trusted: tuple[Network, ...]) -> str:
    """The address that asks: the last one that no trusted proxy stands for.

    Args:
        peer: Who is connected.
        forwarded: Values of X-Forwarded-For, first to last; the last one was added by the peer.
        trusted: Networks of proxies whose word is taken.
    """
    shown = peer
    for hop in reversed([part for value in forwarded for part in value.split(",")]):
        address = parse_address(shown)
        if address is None or not any(address in network for network in trusted):
            break
        found = parse_address(hop)
        if found is None:
            break
        shown = str(found)
    return shown


def limited_name(address: str) -> str:
    """Name that a limit counts an address by: of IPv6 the /64 that one customer gets."""
    found = parse_address(address)
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found or address)


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
