"""What people read where the database is away, or Harmony itself is at fault."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import anyio
import httpx
import pytest

from services.admin.app import make_app
from services.admin.deps import AdminDeps
from services.admin.fleet import page as fleet_page
from services.kernel.db.session import dispose_engines, make_engine
from services.kernel.security.keys import Role
from tests.integration.admin.app_client import BASE_URL, AppClient

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]
NOBODY = "postgresql://postgres@127.0.0.1:1/harmony?connect_timeout=2"
PEOPLE, PROGRAMS = "text/html,*/*;q=0.8", "*/*"


def refuse(*_: Any) -> None:
    raise KeyError("a secret of the table")


@pytest.fixture
def session(deps: AdminDeps, keys: dict[Role, str]) -> httpx.Cookies:
    """Of somebody who has logged in while all was well."""
    form, origin = {"key": keys[Role.ADMIN], "next": "/"}, {"Origin": BASE_URL}
    with AppClient(make_app(deps)) as client:
        assert client.post("/login", data=form, headers=origin).status_code == 303
        return client.cookies


def ask(deps: AdminDeps, session: httpx.Cookies, path: str, accept: str) -> httpx.Response:
    """What is answered, though the application raises its fault once that is sent."""

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(make_app(deps), raise_app_exceptions=False)
        async with httpx.AsyncClient(
            transport=transport, base_url=BASE_URL, cookies=session, headers={"Accept": accept}
        ) as client:
            return await client.get(path)

    return anyio.run(send)


@pytest.mark.parametrize("path", ["/", "/workloads/llm-prod/llama-70b-chat", "/audit"])
def test_people_get_a_page_where_the_database_is_away(
    deps: AdminDeps, session: httpx.Cookies, path: str
) -> None:
    away = replace(deps, engine=make_engine(NOBODY))
    page, told = (ask(away, session, path, accept) for accept in (PEOPLE, PROGRAMS))
    dispose_engines(NOBODY)
    assert (page.status_code, told.status_code) == (503, 503)
    assert page.headers["content-type"].startswith("text/html")
    assert "the database cannot be reached; try again shortly" in page.text
    assert page.headers["Retry-After"] == told.headers["Retry-After"] == "1"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert told.json()["code"] == "unavailable"


def test_people_get_a_page_for_a_fault(
    deps: AdminDeps, session: httpx.Cookies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_page, "load", refuse)
    page, told = (ask(deps, session, "/", accept) for accept in (PEOPLE, PROGRAMS))
    assert (page.status_code, told.status_code) == (500, 500)
    assert page.headers["content-type"].startswith("text/html")
    assert "a fault of Harmony&#39;s own" in page.text
    assert "a secret of the table" not in page.text + told.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert told.json()["code"] == "internal_error"
