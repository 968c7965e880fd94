"""Requests of other sites' pages, told by Origin and Host."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from fastapi import FastAPI

from services.kernel.security.origins import refuse_foreign
from services.kernel.settings import Settings

HERE = "http://localhost:8081"


def status(settings: Settings, client: str = "127.0.0.1", **headers: str) -> int:
    app = FastAPI()

    @app.post("/v1/observations")
    async def push() -> None:
        return None

    refuse_foreign(app, settings)

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app, client=(client, 1))
        async with httpx.AsyncClient(transport=transport, base_url=HERE) as http:
            return await http.post("/v1/observations", headers=headers)

    answer = asyncio.run(send())
    if answer.status_code == 403:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "forbidden"
    return answer.status_code


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8081", "LOCALHOST:1", "127.0.0.1:8081", "127.9.9.9", "[::1]:1"]
)
def test_names_of_this_machine_are_taken_at_any_port(host: str) -> None:
    assert status(Settings(), host=host) == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8081", "localhost.evil.example", "10.0.0.1", "a@evil", "[", "0"],
)
def test_other_names_are_not_where_only_this_machine_connects(host: str) -> None:
    assert status(Settings(), host=host) == 403
    assert status(Settings(host="0.0.0.0"), host=host) == 200
    assert status(Settings(trusted_proxies="127.0.0.1"), host=host) == 200
    assert status(Settings(trusted_proxies="10.0.0.0/8"), host=host) == 403


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://localhost:8082",
        "http://localhost",
        "http://127.0.0.1:8081",  # another name is another site
        "null",
        "",
        "nonsense",
        "http://[",
        "file://",
    ],
)
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_another_origin_may_not_ask(origin: str, host: str) -> None:
    assert status(Settings(host=host), origin=origin) == 403
    assert status(Settings(host=host, trusted_proxies="127.0.0.1"), origin=origin) == 403


def test_a_page_of_its_own_and_one_that_is_listed_may() -> None:
    assert status(Settings(), origin=HERE) == 200
    settings = Settings(cors_origins="https://portal.example.org")
    assert status(settings, origin="https://portal.example.org") == 200
    assert status(settings, origin="https://portal.example.org:444") == 403
