"""Pauses between connections that fail, and the URL that the driver itself reads."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

from services.kernel.db.notifications import BACKOFF_S, libpq_url, listen


def test_pauses_grow_while_the_database_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    broken: list[str] = []

    async def refuse(*_: Any, **__: Any) -> None:
        raise psycopg.OperationalError("connection refused\n")

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == len(BACKOFF_S) + 2:
            raise asyncio.CancelledError

    monkeypatch.setattr(psycopg.AsyncConnection, "connect", refuse)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(listen("postgresql://nowhere/x", ("a",), lambda _: None, broken.append))
    assert pauses == [*BACKOFF_S, BACKOFF_S[-1], BACKOFF_S[-1]]
    assert broken == ["connection refused"] * len(pauses)


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg"])
def test_the_driver_name_is_left_out(scheme: str) -> None:
    rest = "user:a+b@host:5432/harmony?sslmode=require"
    assert libpq_url(f"{scheme}://{rest}") == f"postgresql://{rest}"
