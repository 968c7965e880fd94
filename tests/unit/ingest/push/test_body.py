"""Bodies that are taken in: bounded each, and all that are held at a time."""

from __future__ import annotations

import asyncio
import threading

import pytest
from starlette.requests import Request
from starlette.types import Message

from services.ingest.push.body import Intake
from services.kernel.errors import Overloaded, PayloadTooLarge


def sent(*chunks: bytes) -> Request:
    messages: list[Message] = [
        {"type": "http.request", "body": chunk, "more_body": position < len(chunks) - 1}
        for position, chunk in enumerate(chunks)
    ]

    async def receive() -> Message:
        return messages.pop(0)

    return Request({"type": "http"}, receive)


async def taken(intake: Intake, *chunks: bytes) -> bytes:
    async with intake.body(sent(*chunks)) as body:
        return body


def test_chunks_are_put_together() -> None:
    assert asyncio.run(taken(Intake(4), b"ab", b"", b"cd")) == b"abcd"


def test_a_body_over_the_limit_is_refused() -> None:
    with pytest.raises(PayloadTooLarge, match="limit of 3 bytes"):
        asyncio.run(taken(Intake(3), b"ab", b"cd"))


def test_what_is_held_at_a_time_is_bounded_and_given_back() -> None:
    async def run() -> None:
        intake = Intake(4)
        for _ in range(3):  # a body that was refused gives back what it held
            async with intake.body(sent(b"abcd")), intake.body(sent(b"ab")):
                assert await taken(intake, b"ef") == b"ef"
                with pytest.raises(Overloaded, match="too much is being sent"):
                    await taken(intake, b"e", b"fg")
        with pytest.raises(PayloadTooLarge):
            await taken(intake, b"abc", b"de")
        async with intake.body(sent(b"abcd")), intake.body(sent(b"efgh")):
            pass

    asyncio.run(run())


def test_only_some_are_worked_at_and_the_others_wait() -> None:
    async def run() -> None:
        intake, go, n = Intake(4), threading.Event(), 0

        def use_case() -> None:
            nonlocal n
            n += 1
            go.wait(60)

        works = [asyncio.create_task(intake.work(use_case)) for _ in range(20)]
        while not n:
            await asyncio.sleep(0)
        # a thread that is none of these is free
        assert await asyncio.to_thread(lambda: n) < 10
        go.set()
        await asyncio.gather(*works)
        assert n == 20

    asyncio.run(run())
