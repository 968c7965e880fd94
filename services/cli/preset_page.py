"""A program's page of metrics over HTTP, within bounds of time and size."""

from __future__ import annotations

from datetime import timedelta

import httpx

from services.kernel.clock import Clock
from services.kernel.domain.presets import MetricsPage, read_page
from services.kernel.errors import InvalidInput, Unavailable
from services.kernel.http.answers import ACCEPTED, AnswerTooLarge, AnswerUnreadable, read_chunks

TIMEOUT_S = 10.0
MAX_BYTES = 16 * 2**20
_OK = 200
_HEADERS = {"Accept": "text/plain;version=0.0.4"} | ACCEPTED


def fetch_page(url: str, clock: Clock, transport: httpx.BaseTransport | None = None) -> MetricsPage:
    """Ask a program for its metrics.

    Args:
        url: Address of the page, e.g. `http://127.0.0.1:8000/metrics`.
        clock: Says when it has taken too long.
        transport: How requests are sent; None: over the network.

    Raises:
        InvalidInput: The address is none, or what it answers is no page of metrics.
        Unavailable: There is no answer, or not in time.
    """
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise InvalidInput(f"URL={url!r} is no address: {error}") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise InvalidInput(f"URL={url!r} must read http://HOST:PORT/metrics")
    try:
        with httpx.Client(timeout=TIMEOUT_S, headers=_HEADERS, transport=transport) as client:
            text = _read(client, url, clock)
    except AnswerTooLarge as error:
        raise InvalidInput(f"URL={url!r} answers more than {MAX_BYTES >> 20} MiB") from error
    except AnswerUnreadable as error:
        raise InvalidInput(f"URL={url!r}: the answer {error}") from error
    except httpx.HTTPError as error:
        reason = str(error) or type(error).__name__
        raise Unavailable(f"URL={url!r} does not answer: {reason}") from error
    try:
        return read_page(text)
    except ValueError as error:
        raise InvalidInput(f"URL={url!r}: the answer {error}") from error


def _read(client: httpx.Client, url: str, clock: Clock) -> str:
    deadline = clock.now() + timedelta(seconds=TIMEOUT_S)
    found = bytearray()
    with client.stream("GET", url) as answer:
        if answer.status_code != _OK:
            raise InvalidInput(
                f"URL={url!r} answers {answer.status_code}, not {_OK}: give the page of metrics "
                "itself, e.g. http://127.0.0.1:8000/metrics"
            )
        for chunk in read_chunks(answer, MAX_BYTES):
            found += chunk
            if clock.now() > deadline:
                raise Unavailable(f"URL={url!r} took longer than {TIMEOUT_S:g} s")
    return found.decode("utf-8", errors="replace")
