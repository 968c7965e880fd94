"""Requests that a browser sends for another site's page, which nobody at this machine meant.

A page may send a form's request anywhere, and with a name of its own that turns to 127.0.0.1 (DNS
rebinding) it may even read the answer. The browser tells: by `Origin`, and by `Host`.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from services.kernel.errors import ConfigurationError, Forbidden
from services.kernel.http.application import from_error
from services.kernel.security.addresses import Network, parse_address, parse_networks
from services.kernel.security.bind import is_loopback
from services.kernel.settings import Settings


def refuse_foreign(app: FastAPI, settings: Settings) -> None:
    """Put `ForeignPages` before `app`; it has to see who is really connected.

    Raises:
        ConfigurationError: A setting cannot be used.
    """
    app.add_middleware(
        ForeignPages,
        is_local=is_loopback(settings.host),
        origins=parse_origins(settings.cors_origins),
        trusted=parse_networks(settings.trusted_proxies, "HARMONY_TRUSTED_PROXIES"),
    )


class ForeignPages:
    """Answers 403 to a request with another site's Origin, or with a Host that is not this one.

    The Host is checked where only this machine can connect, and not of a proxy that is trusted:
    elsewhere any name may lead here, and a credential is asked for.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        is_local: bool,
        origins: list[str],
        trusted: tuple[Network, ...],
    ) -> None:
        self._app = app
        self._is_local = is_local
        self._origins = origins
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        refused = self._refused(scope) if scope["type"] == "http" else ""
        if refused:
            await from_error(Forbidden(refused))(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refused(self, scope: Scope) -> str:
        """Why the request is refused; empty: it is not."""
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if host and self._is_local and not self._is_proxy(scope) and not _is_here(host):
            return (
                f"Host: {host[:100]!r} is no name of this machine's; ask localhost or 127.0.0.1, "
                "or name the proxy in HARMONY_TRUSTED_PROXIES"
            )
        if origin is None or origin in self._origins or _place(origin) == host.lower():
            return ""
        return (
            f"Origin: {origin[:100]!r} is another site, whose pages may not ask; "
            "HARMONY_CORS_ORIGINS lists those that may"
        )

    def _is_proxy(self, scope: Scope) -> bool:
        address = parse_address(scope["client"][0]) if scope.get("client") else None
        return address is not None and any(address in network for network in self._trusted)


def _is_here(host: str) -> bool:
    try:
        return is_loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False


def _place(origin: str) -> str | None:
    """Host and port of an origin; None: it has none, as that of a sandboxed page."""
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


def parse_origins(text: str) -> list[str]:
    """Origins, separated by commas.

    Raises:
        ConfigurationError: One of them is none; `*` is none.
    """
    origins = [part.strip() for part in text.split(",") if part.strip()]
    for origin in origins:
        try:
            parts = urlsplit(origin)
        except ValueError:
            parts = urlsplit("")
        is_origin = parts.scheme in {"http", "https"} and parts.netloc
        if not is_origin or origin != f"{parts.scheme}://{parts.netloc}" or parts.username:
            raise ConfigurationError(
                f"HARMONY_CORS_ORIGINS={text!r}: {origin!r} must be an origin, e.g. "
                "https://portal.example.org, without a path"
            )
    return origins
