"""Answers to bytes that are no HTTP request: a problem too, as to everything else."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from services.kernel.http.application import problem

_BASE: Any = AutoHTTPProtocol


class ProblemProtocol(_BASE):  # type: ignore[misc]  # h11's or httptools', whichever is there
    """The server's HTTP protocol; what it cannot parse is answered as problem+json."""

    transport: asyncio.Transport

    def send_400_response(self, msg: str) -> None:
        """Refuse bytes that cannot be parsed, and close the connection."""
        self.transport.write(unreadable())
        self.transport.close()


def unreadable() -> bytes:
    """The whole answer to a request that cannot be parsed."""
    answer = problem(400, "bad_request", "this is no HTTP request that can be read")
    answer.headers.update({"Connection": "close", "X-Content-Type-Options": "nosniff"})
    headers = [name + b": " + value for name, value in answer.raw_headers]
    lines = [b"HTTP/1.1 400 Bad Request", *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + bytes(answer.body)
