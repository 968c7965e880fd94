"""An answer that nobody takes is cut, and gives its place back; one that is taken slowly is not."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest
import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from services.kernel.http.busy import Busy
from services.kernel.http.protocol import ProblemProtocol

PATIENCE_S = 60.0
CHUNK = bytes(65_536)
N_CHUNKS = 1_000
"""More than two sockets hold."""
LONG, SHORT = (
    f"GET /{name} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode()
    for name in ("long", "short")
)
LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [
    asyncio.new_event_loop,
    uvloop.new_event_loop,
]


class Hasty(ProblemProtocol):
    """Waits for a client to take an answer as long as a test may."""

    answer_s = 0.05


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers at length, as a file or a stream of events does, or `here`."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/long":
        for _ in range(N_CHUNKS):
            await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
    await send({"type": "http.response.body", "body": b"here"})


@pytest.mark.parametrize("new_loop", LOOPS)
def test_who_does_not_read_gives_the_place_back(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def run() -> bytes:
        ended = asyncio.Event()
        served = Busy(application, "test", 1)

        async def noting(scope: Scope, receive: Receive, send: Send) -> None:
            await served(scope, receive, send)
            if scope["path"] == "/long":
                ended.set()

        config = uvicorn.Config(noting, http=Hasty, lifespan="off", log_config=None)
        config.load()
        state = ServerState()
        server = await asyncio.get_running_loop().create_server(
            lambda: Hasty(config=config, server_state=state, app_state={}), "127.0.0.1", 0
        )
        async with server:
            host, port = server.sockets[0].getsockname()
            with socket.socket() as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
                client.connect((host, port))
                client.sendall(LONG)
                await asyncio.wait_for(ended.wait(), PATIENCE_S)
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(SHORT)
            after = await asyncio.wait_for(reader.read(), PATIENCE_S)
            writer.close()
            return after.partition(b"\r\n")[0]

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(run()) == b"HTTP/1.1 200 OK"


class Client(asyncio.Transport):
    """A connection whose other end takes so much before each look at what is left."""

    def __init__(self, n_taken: int) -> None:
        super().__init__()
        self.n_left = 20 * 16_384
        self.n_taken = n_taken
        self.ended = asyncio.Event()
        self.is_cut = False

    def get_write_buffer_size(self) -> int:
        return self.n_left

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """A test has no socket; each look asks for it once."""
        if name == "socket":
            self.n_left = max(0, self.n_left - self.n_taken)
            if self.n_left == 0:
                self.ended.set()
        return default

    def is_closing(self) -> bool:
        return self.is_cut

    def close(self) -> None:
        self.is_cut = True

    def abort(self) -> None:
        self.is_cut = True
        self.ended.set()


@pytest.mark.parametrize(("n_taken", "is_cut"), [(16_384, False), (16_383, True), (0, True)])
@pytest.mark.parametrize("begin", ["pause_writing", "resume_writing", "on_response_complete"])
def test_who_takes_some_in_time_is_not_cut_off(begin: str, n_taken: int, is_cut: bool) -> None:
    async def run() -> bool:
        config = uvicorn.Config(application, lifespan="off", log_config=None)
        config.load()
        server = Hasty(config=config, server_state=ServerState(), app_state={})
        client = Client(n_taken)
        server.connection_made(client)
        getattr(server, begin)()
        await asyncio.wait_for(client.ended.wait(), PATIENCE_S)
        found = client.is_cut
        server.connection_lost(None)
        return found

    assert asyncio.run(run()) == is_cut
