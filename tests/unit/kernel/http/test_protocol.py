"""Bytes that are no HTTP request are answered as a problem, on a real socket."""

from __future__ import annotations

import asyncio
import json

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from services.kernel.http.protocol import ProblemProtocol, unreadable

PATIENCE_S = 20.0
READABLE = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers `here` to everything."""
    headers = [(b"content-length", b"4")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"here"})


def answers(sent: bytes) -> bytes:
    """All that the server says to some bytes until it closes the connection."""

    async def serve() -> bytes:
        config = uvicorn.Config(application, http=ProblemProtocol, lifespan="off", log_config=None)
        config.load()
        state = ServerState()
        server = await asyncio.get_running_loop().create_server(
            lambda: ProblemProtocol(config=config, server_state=state, app_state={}), "127.0.0.1", 0
        )
        async with server:
            host, port = server.sockets[0].getsockname()
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(sent)
            try:
                return await asyncio.wait_for(reader.read(), PATIENCE_S)
            finally:
                writer.close()

    return asyncio.run(serve())


def test_the_answer_to_junk_is_a_whole_problem() -> None:
    head, _, body = unreadable().partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    assert first == "HTTP/1.1 400 Bad Request"
    assert headers["content-type"] == "application/problem+json"
    assert headers["content-length"] == str(len(body))
    assert headers["connection"] == "close"
    assert headers["x-content-type-options"] == "nosniff"
    found = json.loads(body)
    assert (found["status"], found["code"]) == (400, "bad_request")


@pytest.mark.parametrize("junk", [b"no request at all\r\n\r\n", b"\x16\x03\x01\x02\x00\r\n\r\n"])
def test_the_server_answers_junk_so_and_closes(junk: bytes) -> None:
    assert answers(junk) == unreadable()


def test_a_request_that_can_be_read_reaches_the_application() -> None:
    answer = answers(READABLE)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\nhere")
