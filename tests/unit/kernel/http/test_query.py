"""Parameters in a query string that a route does not take."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, Query

from services.kernel.http import application as http
from services.kernel.http.query import known_query


def _shared(limit: int = 5) -> int:
    return limit


def app() -> FastAPI:
    made = FastAPI(dependencies=[Depends(known_query)])
    http.install(made, "test", 1000)

    @made.get("/v1/things")
    def things(
        limit_: Annotated[int, Depends(_shared)],
        from_at: Annotated[str, Query(alias="from_at")] = "",
        label: Annotated[list[str] | None, Query()] = None,
    ) -> int:
        return limit_

    @made.get("/v1/plain")
    def plain() -> int:
        return 1

    @made.get("/page")
    def page() -> int:
        return 1

    return made


def get(path: str) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app())
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get(path)

    return asyncio.run(send())


@pytest.mark.parametrize(
    "path",
    [
        "/v1/things",
        "/v1/things?limit=3&from_at=x&label=a&label=b&cluster=eu",
        "/v1/plain?cluster=eu",
        "/page?utm_source=mail",
        "/metrics?name[]=up",
    ],
)
def test_what_a_route_takes_is_taken(path: str) -> None:
    assert get(path).status_code == 200


def test_another_is_refused_with_what_was_meant() -> None:
    answer = get("/v1/things?limitt=3&colour=red&limit=2")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    first, second = problem["errors"]
    assert (first["field"], first["rule"]) == ("query.limitt", "unknown_parameter")
    assert "did you mean limit?" in first["message"]
    assert second["field"] == "query.colour"
    assert "of this route. It takes from_at, label, limit, cluster" in second["message"]
    assert "query.limitt='3'" in problem["detail"]


def test_a_route_without_any_says_so() -> None:
    assert "It takes cluster" in get("/v1/plain?x=1").json()["detail"]


def test_a_parameter_that_is_taken_once_is_not_given_twice() -> None:
    answer = get("/v1/things?limit=3&limit=4&label=a&label=b")
    assert answer.status_code == 422
    (found,) = answer.json()["errors"]
    assert (found["field"], found["rule"]) == ("query.limit", "repeated_parameter")
    assert found["message"] == "is given 2 times; give it once"
    assert get("/v1/plain?cluster=eu&cluster=us").status_code == 422
    assert get("/page?utm_source=a&utm_source=b").status_code == 200
