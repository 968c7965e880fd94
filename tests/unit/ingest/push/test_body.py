"""A body is bounded also where its length is not declared."""

from __future__ import annotations

import asyncio

import pytest
from starlette.requests import Request
from starlette.types import Message

from services.ingest.push.body import read_body
from services.kernel.errors import PayloadTooLarge


def read(chunks: list[bytes], max_bytes: int) -> bytes:
    messages: list[Message] = [
        {"type": "http.request", "body": chunk, "more_body": position < len(chunks) - 1}
        for position, chunk in enumerate(chunks)
    ]

    async def receive() -> Message:
        return messages.pop(0)

    return asyncio.run(read_body(Request({"type": "http"}, receive), max_bytes))


def test_chunks_are_put_together() -> None:
    assert read([b"ab", b"", b"cd"], 4) == b"abcd"


def test_a_body_over_the_limit_is_refused() -> None:
    with pytest.raises(PayloadTooLarge, match="limit of 3 bytes"):
        read([b"ab", b"cd"], 3)
