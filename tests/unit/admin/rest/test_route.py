"""A route's answer: the value's JSON, its status and headers, and the same document as before."""

from __future__ import annotations

import asyncio
import threading
from typing import Annotated

import httpx
from fastapi import FastAPI, Query, Response

from services.admin.rest.route import Router
from services.admin.rest.schemas import Health, Page
from services.kernel.errors import NotFound
from services.kernel.http.application import install


def make_app() -> FastAPI:
    router = Router(prefix="/v1")

    @router.get("/page")
    def page(limit: Annotated[int, Query(ge=1)] = 1) -> Page[Health]:
        return Page[Health](items=[Health()] * limit)

    @router.post("/made", status_code=201)
    def made(response: Response) -> list[int]:
        response.headers["ETag"] = '"7"'
        return [threading.get_ident()]

    @router.get("/none", status_code=204, response_class=Response)
    def none() -> None:
        return None

    @router.get("/missing")
    def missing() -> Health:
        raise NotFound("thing 1 does not exist")

    app = FastAPI()
    install(app, "test", 1000)
    app.include_router(router)
    return app


def ask(method: str, path: str) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(make_app())
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path)

    return asyncio.run(send())


def test_a_value_is_its_json() -> None:
    answer = ask("GET", "/v1/page?limit=2")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"items": [{"status": "ok"}] * 2, "next_cursor": None}


def test_status_and_headers_are_kept() -> None:
    answer = ask("POST", "/v1/made")
    assert (answer.status_code, answer.headers["etag"]) == (201, '"7"')
    assert answer.headers["content-length"] == str(len(answer.content))
    assert answer.json() != [threading.get_ident()]  # made in a thread of its own
    assert ask("GET", "/v1/none").status_code == 204


def test_what_is_wrong_is_still_a_problem() -> None:
    assert ask("GET", "/v1/page?limit=0").json()["code"] == "invalid_input"
    assert ask("GET", "/v1/missing").json()["code"] == "not_found"


def test_the_document_says_what_is_returned() -> None:
    paths = make_app().openapi()["paths"]
    schema = paths["/v1/page"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert schema["$ref"].endswith("Page_Health_")
    assert "201" in paths["/v1/made"]["post"]["responses"]
