"""Bytes that are no HTTP request are answered as a problem, on a real socket."""

from __future__ import annotations

import asyncio
import json

import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from services.kernel.http.protocol import ProblemProtocol, unreadable

PATIENCE_S = 60.0
READABLE = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers `here` to everything."""
    headers = [(b"content-length", b"4")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"here"})


def answers(
    sent: bytes,
    protocol: type[ProblemProtocol] = ProblemProtocol,
    application: ASGIApp = application,
) -> bytes:
    """All that the server says to some bytes until it closes the connection."""

    async def serve() -> bytes:
        config = uvicorn.Config(
            application, http=protocol, lifespan="off", log_config=None, timeout_keep_alive=1
        )
        config.load()
        state = ServerState()
        server = await asyncio.get_running_loop().create_server(
            lambda: protocol(config=config, server_state=state, app_state={}), "127.0.0.1", 0
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


class Hasty(ProblemProtocol):
    """Waits for the head of a request as long as a test may."""

    head_s = 0.05


def test_a_connection_that_says_nothing_is_closed() -> None:
    assert answers(b"", Hasty) == b""


@pytest.mark.parametrize("before", [b"", READABLE.replace(b"Connection: close\r\n", b"")])
def test_a_head_that_does_not_end_is_given_up(before: bytes) -> None:
    answer = answers(before + b"GET / HTTP/1.1\r\nHost: test\r\nX-Slow: a", Hasty)
    problem = answer.removeprefix(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nhere")
    assert (len(problem) < len(answer)) == bool(before)
    assert problem.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert json.loads(problem.partition(b"\r\n\r\n")[2])["code"] == "request_timeout"


def test_a_body_that_is_not_read_does_not_hold_the_connection() -> None:
    sent = b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\n"
    assert answers(sent, Hasty).endswith(b"here")


class Written(asyncio.Transport):
    """What a protocol sends, until it closes."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.is_closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += bytes(data)

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed


def test_a_head_has_a_size() -> None:
    async def run() -> bytes:
        config = uvicorn.Config(application, lifespan="off", log_config=None)
        config.load()
        server = ProblemProtocol(config=config, server_state=ServerState(), app_state={})
        transport = Written()
        server.connection_made(transport)
        server.data_received(b"GET / HTTP/1.1\r\nHost: test\r\nX-Long: ")
        for _ in range(64):
            assert not transport.is_closed
            server.data_received(b"a" * 1024)
        assert transport.is_closed
        server.connection_lost(None)
        return transport.sent

    answer = asyncio.run(run())
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"head is over 65536 bytes" in answer


def test_an_answer_may_take_longer_than_a_head() -> None:
    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(4 * Hasty.head_s)
        await application(scope, receive, send)

    assert answers(READABLE, Hasty, slow).endswith(b"here")
