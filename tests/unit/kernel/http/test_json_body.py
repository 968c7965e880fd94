"""A JSON body with a key that is given twice is refused with the key."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI
from pydantic import BaseModel

from services.kernel.http import application as http
from services.kernel.http.json_body import OnceRoute
from tests.unit.kernel.http.test_application import ask

TWICE = b'{"replicas": 3, "replicas": 30}'


class _Body(BaseModel):
    replicas: int


def test_a_route_answers_400_with_the_key() -> None:
    app, router = FastAPI(), APIRouter(route_class=OnceRoute)
    http.install(app, "test", 1000)

    @router.post("/scale")
    def scale(body: _Body) -> int:
        return body.replicas

    app.include_router(router)
    headers = {"Content-Type": "application/json"}
    answer = ask(app, "POST", "/scale", TWICE, headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["detail"] == "body: key 'replicas' is given 2 times; give it once"
    assert ask(app, "POST", "/scale", b'{"replicas": 3}', headers).json() == 3
    assert ask(app, "POST", "/scale", b'{"replicas"', headers).status_code == 422
