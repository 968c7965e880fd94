"""URLs that secrets go to: whether they can be asked, and who could listen."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

import httpx

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def is_private(url: str) -> bool:
    """Check whether nobody on the way sees what is sent to `url` and comes from there."""
    parts = parse_url(url)
    if parts is None:
        return False
    is_closed = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    return is_closed and not (not parts.hostname or parts.fragment or parts.username)


def parse_url(url: str) -> SplitResult | None:
    """Parts of `url`; None where it is no URL that can be asked, as with a port above 65535."""
    try:
        httpx.URL(url)
        parts = urlsplit(url)
        _ = parts.port  # is read, and may be wrong, only here
    except (ValueError, httpx.InvalidURL):
        return None
    return parts
