"""What stands before the admin application: headers, limits, proxies, other sites' pages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from fastapi import FastAPI, Request, Response
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware

from services.admin.service import AdminDeps
from services.kernel.errors import ConfigurationError
from services.kernel.security_http import AddressLimits, TrustedProxies, parse_networks
from services.kernel.security_limits import address_limit

_CSP = "; ".join(
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
    "Content-Security-Policy": _CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
HSTS = "max-age=31536000; includeSubDomains"
_READ_BY_PAGES = ["ETag", "Location", "Retry-After"]


def install(app: FastAPI, deps: AdminDeps) -> None:
    """Put it before `app`; the last one added is the first that a request meets.

    Raises:
        ConfigurationError: A setting cannot be used.
    """
    settings = deps.settings
    trusted = parse_networks(settings.trusted_proxies, "HARMONY_TRUSTED_PROXIES")
    origins = parse_origins(settings.cors_origins)
    app.add_middleware(GZipMiddleware, minimum_size=1024)
    if deps.limiter is not None:
        limiter, limit = deps.limiter, address_limit(settings)
        app.add_middleware(AddressLimits, take=lambda address: limiter.take(limit, address))
    if origins:
        # no cookies: another site's page needs a key or a token of its own
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "If-Match", "Idempotency-Key"],
            expose_headers=_READ_BY_PAGES,
        )
    app.middleware("http")(_add_headers)
    app.add_middleware(TrustedProxies, trusted=trusted)


def parse_origins(text: str) -> list[str]:
    """Origins, separated by commas.

    Raises:
        ConfigurationError: One of them is none; `*` is none.
    """
    origins = [part.strip() for part in text.split(",") if part.strip()]
    for origin in origins:
        parts = urlsplit(origin)
        is_origin = parts.scheme in {"http", "https"} and parts.netloc
        if not is_origin or origin != f"{parts.scheme}://{parts.netloc}" or parts.username:
            raise ConfigurationError(
                f"HARMONY_CORS_ORIGINS={text!r}: {origin!r} must be an origin, e.g. "
                "https://portal.example.org, without a path"
            )
    return origins


async def _add_headers(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    response = await call_next(request)
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    if request.url.scheme == "https":
        response.headers.setdefault("Strict-Transport-Security", HSTS)
    if request.url.path.startswith("/static/"):
        is_versioned = "v" in request.query_params
        response.headers["Cache-Control"] = (
            "public, max-age=31536000, immutable" if is_versioned else "no-cache"
        )
    else:
        response.headers.setdefault("Cache-Control", "no-store")
    if response.status_code == 401:
        response.headers.setdefault("WWW-Authenticate", 'Bearer realm="harmony"')
    return response
