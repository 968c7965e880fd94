"""Notifications of a real database, also after the connection was ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import Engine, text

from services.kernel.db.notifications import listen

pytestmark = pytest.mark.integration

PATIENCE_S = 30.0


class Heard:
    """What a listener was told, in order."""

    def __init__(self) -> None:
        self.news: asyncio.Queue[str | None] = asyncio.Queue()
        self.broken: list[str] = []

    async def next(self) -> str | None:
        return await asyncio.wait_for(self.news.get(), PATIENCE_S)


@asynccontextmanager
async def listening(database: Engine, *channels: str) -> AsyncIterator[Heard]:
    heard = Heard()
    url = database.url.render_as_string(hide_password=False)
    task = asyncio.create_task(listen(url, channels, heard.news.put_nowait, heard.broken.append))
    yield heard
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def run(database: Engine, statement: str) -> None:
    with database.begin() as connection:
        connection.execute(text(statement))


def test_a_connection_is_news_and_so_is_each_notification(database: Engine) -> None:
    async def hear() -> None:
        async with listening(database, "one", "two") as heard:
            assert await heard.next() is None
            for channel in ("two", "other", "one"):
                run(database, f"NOTIFY {channel}")
            assert [await heard.next(), await heard.next()] == ["two", "one"]
            assert heard.broken == []

    asyncio.run(hear())


def test_a_connection_that_was_ended_is_made_again(database: Engine) -> None:
    async def hear() -> None:
        async with listening(database, "one") as heard:
            assert await heard.next() is None
            run(
                database,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE query LIKE 'LISTEN%' AND datname = current_database()",
            )
            assert await heard.next() is None
            (reason,) = heard.broken
            assert reason == reason.strip() != ""
            run(database, "NOTIFY one")
            assert await heard.next() == "one"

    asyncio.run(hear())
