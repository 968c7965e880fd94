"""Notifications of Postgres, heard for ever: a connection that breaks is made again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import psycopg

BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Pauses before the next connection, after the first failure in a row, the second and so on."""
_CONNECT_TIMEOUT_S = 5


async def listen(
    database_url: str,
    channels: Sequence[str],
    on_news: Callable[[str | None], None],
    on_broken: Callable[[str], None],
) -> None:
    """Listen to `channels` until the task is cancelled.

    Args:
        database_url: Postgres URL, with or without SQLAlchemy's driver name.
        channels: Names of our own, written into SQL as they are.
        on_news: Called with the channel of each notification, and with None at each new connection,
            for what was missed while there was none.
        on_broken: Called with the reason when there is no connection, or none any longer.
    """
    n_failures = 0
    while True:
        try:
            connection = await psycopg.AsyncConnection.connect(
                libpq_url(database_url), autocommit=True, connect_timeout=_CONNECT_TIMEOUT_S
            )
            async with connection:
                for channel in channels:
                    await connection.execute(f"LISTEN {channel}".encode())
                n_failures = 0
                on_news(None)
                async for notification in connection.notifies():
                    on_news(notification.channel)
        except (psycopg.Error, OSError) as error:
            on_broken(str(error).strip())
        await asyncio.sleep(BACKOFF_S[min(n_failures, len(BACKOFF_S) - 1)])
        n_failures += 1


def libpq_url(url: str) -> str:
    """`url` without SQLAlchemy's driver name."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme.split('+')[0]}{separator}{rest}"
