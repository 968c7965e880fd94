"""Proxies that are trusted and limits of addresses stand before an application."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request

from services.kernel.errors import TooManyRequests
from services.kernel.security.addresses import parse_networks
from services.kernel.security.http import AddressLimits, TrustedProxies

PROXY, CLIENT = "10.0.0.1", "198.51.100.7"


def make_app() -> FastAPI:
    app = FastAPI()

    @app.get("/who")
    def who(request: Request) -> dict[str, Any]:
        assert request.client is not None
        return {"address": request.client.host, "scheme": request.url.scheme}

    @app.get("/healthz")
    def health() -> str:
        return "ok"

    return app


async def get(app: Any, path: str, peer: str, **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(app=app, client=(peer, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://harmony") as client:
        return await client.get(path, headers=headers)


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        (PROXY, {"address": CLIENT, "scheme": "https"}),
        (CLIENT, {"address": CLIENT, "scheme": "http"}),
    ],
)
def test_only_a_trusted_proxy_says_who_asks(peer: str, expected: dict[str, str]) -> None:
    app = TrustedProxies(make_app(), parse_networks("10.0.0.0/8", "X"))
    headers = {"x-forwarded-for": CLIENT, "x-forwarded-proto": "https"}
    answer = asyncio.run(get(app, "/who", peer, **headers))
    assert answer.json() == expected


def test_an_address_that_asks_too_often_is_refused_but_for_health() -> None:
    taken: list[str] = []

    def take(address: str) -> None:
        taken.append(address)
        raise TooManyRequests("too many", retry_after_s=3)

    app = AddressLimits(make_app(), take)
    assert asyncio.run(get(app, "/who", CLIENT)).status_code == 429
    assert asyncio.run(get(app, "/healthz", CLIENT)).status_code == 200
    assert taken == [CLIENT]
