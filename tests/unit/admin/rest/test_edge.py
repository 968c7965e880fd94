"""What a request meets at the edge: HEAD is as GET."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Message, Receive, Scope, Send

from services.admin.rest.edge import Heads


@pytest.mark.parametrize(
    ("method", "path", "seen", "body"),
    [
        ("HEAD", "/v1/workloads", "GET", b""),
        ("GET", "/v1/workloads", "GET", b"content"),
        ("HEAD", "/v1/events", "HEAD", b"content"),
    ],
)
def test_head_is_answered_as_get_without_its_body(
    method: str, path: str, seen: str, body: bytes
) -> None:
    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        length = [(b"content-length", b"7"), (b"x-method", scope["method"].encode())]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": b"content"})

    async def run() -> list[Message]:
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": b""}

        async def send(message: Message) -> None:
            sent.append(message)

        await Heads(inner)({"type": "http", "method": method, "path": path}, receive, send)
        return sent

    start, content = asyncio.run(run())
    assert dict(start["headers"]) == {b"content-length": b"7", b"x-method": seen.encode()}
    assert content["body"] == body
