"""Taking requests in: how much of their bodies is held, and how many are worked at, at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import anyio
from fastapi import Request

from services.kernel import telemetry
from services.kernel.errors import Overloaded, PayloadTooLarge, UnsupportedMediaType

Result = TypeVar("Result")

_BODIES_HELD = 2  # of the largest size, or many more small ones
_WORKERS = 2  # they share one interpreter: more would only hold more at a time


def check_unpacked(request: Request, plain: str) -> None:
    """Refuse a body that is compressed.

    Args:
        request: Its headers are read.
        plain: What is to be sent.

    Raises:
        UnsupportedMediaType: It says that it is compressed.
    """
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.strip().lower() != "identity":
        raise UnsupportedMediaType(
            f"Content-Encoding: {encoding[:60]!r} must be 'identity'; send plain {plain}"
        )


class Intake:
    """Bodies that are held until their request is answered, and threads that work at them.

    Probes have threads of their own, so they never wait for these. To be used by one event loop.
    """

    def __init__(self, max_bytes: int) -> None:
        """Take bodies of up to `max_bytes`."""
        self._max_bytes = max_bytes
        self._n_free = _BODIES_HELD * max_bytes
        self._workers = anyio.CapacityLimiter(_WORKERS)

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """The body of a request, bounded also where its length is not declared.

        Raises:
            PayloadTooLarge: It is longer than one may be.
            Overloaded: With it too much would be held.
        """
        chunks, size = [], 0
        try:
            async for chunk in request.stream():
                if size + len(chunk) > self._max_bytes:
                    raise PayloadTooLarge(
                        f"body is over the limit of {self._max_bytes} bytes; send less at once"
                    )
                if len(chunk) > self._n_free:
                    telemetry.rate_limited_total.labels("ingest", "bytes").inc()
                    raise Overloaded("too much is being sent at a time; try again shortly")
                size += len(chunk)
                self._n_free -= len(chunk)
                chunks.append(chunk)
            whole = b"".join(chunks)
            chunks.clear()
            yield whole
        finally:
            self._n_free += size

    async def work(self, use_case: Callable[[], Result]) -> Result:
        """What a use case returns, once one of the threads is free for it."""
        return await anyio.to_thread.run_sync(use_case, limiter=self._workers)
