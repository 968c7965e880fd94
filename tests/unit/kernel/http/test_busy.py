"""Too many requests at once are told so, and soon; probes are not among them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from services.kernel.http.busy import Busy


class Held:
    """An application that answers once it is let go."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.n = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body", False):
            pass
        self.n += 1
        await self.go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def request(
    app: Busy,
    path: str = "/v1/things",
    receive: Callable[[], Awaitable[Message]] | None = None,
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> tuple[int, dict[bytes, bytes]]:
    sent: list[Message] = []

    async def whole() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"type": "http", "path": path, "headers": list(headers)}
    await app(scope, receive or whole, send)
    return sent[0]["status"], dict(sent[0]["headers"])


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0)


def test_one_too_many_is_503_until_another_has_gone() -> None:
    async def run() -> None:
        held = Held()
        app = Busy(held, "test", most=1)
        first = asyncio.create_task(request(app))
        await until(lambda: held.n == 1)
        status, headers = await request(app)
        assert (status, headers[b"retry-after"]) == (503, b"1")
        assert headers[b"content-type"] == b"application/problem+json"
        held.go.set()
        assert (await first)[0] == 200
        assert (await request(app))[0] == 200

    asyncio.run(run())


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/v1/events"])
def test_probes_and_streams_are_never_too_many(path: str) -> None:
    async def run() -> None:
        held = Held()
        app = Busy(held, "test", most=1, apart=frozenset({"/v1/events"}))
        first = asyncio.create_task(request(app))
        await until(lambda: held.n == 1)
        second = asyncio.create_task(request(app, path))
        await until(lambda: held.n == 2)
        held.go.set()
        assert [status for status, _ in await asyncio.gather(first, second)] == [200, 200]

    asyncio.run(run())


def test_a_body_under_way_takes_no_place() -> None:
    async def run() -> None:
        held = Held()
        app = Busy(held, "test", most=1)
        ended = asyncio.Event()
        is_asked = asyncio.Event()

        async def slow() -> Message:
            is_asked.set()
            await ended.wait()
            return {"type": "http.request", "body": b"x", "more_body": False}

        length = ((b"content-length", b"1"),)
        first = asyncio.create_task(request(app, receive=slow, headers=length))
        await is_asked.wait()
        second = asyncio.create_task(request(app))
        await until(lambda: held.n == 1)
        ended.set()
        held.go.set()
        assert (await first)[0] == (await second)[0] == 200

    asyncio.run(run())


def test_an_error_frees_its_place() -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("broken")

    async def run() -> None:
        app = Busy(broken, "test", most=1)
        for _ in range(3):
            with pytest.raises(ValueError, match="broken"):
                await request(app)

    asyncio.run(run())
