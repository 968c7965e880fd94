"""The route of a back-fill: who may use it, which bodies it takes, what its errors look like."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import Engine

from services.ingest.api import make_app
from services.ingest.deps import IngestDeps
from services.kernel.clock import FixedClock, SystemClock
from services.kernel.security.keys import Role, create_key
from services.kernel.settings import Settings
from tests.integration.ingest.conftest import Register, request

pytestmark = pytest.mark.integration
PATH = "/v1/workloads/shop/w0/history"
CSV = {"Content-Type": "text/csv; charset=utf-8"}
BODY = b"time,request_rate_rps\n2026-01-05T00:00:00Z,1.5\n"


@pytest.fixture
def app(deps: IngestDeps, clock: FixedClock, register: Register) -> FastAPI:
    register()
    clock.advance(60)
    return make_app(deps)


def send(app: FastAPI, path: str = PATH, **options: Any) -> httpx.Response:
    return request(app, "POST", path, **({"content": BODY, "headers": CSV} | options))


def test_csv_and_json_are_taken(app: FastAPI) -> None:
    answer = send(app)
    assert (answer.status_code, answer.json()["written"]) == (200, 1)
    content = {"indicators": {"request_rate_rps": [["2026-01-05T00:00:00Z", 9]]}}
    answer = request(app, "POST", PATH, json=content)
    assert (answer.status_code, answer.json()["kept"]) == (200, 1)
    answer = request(app, "POST", f"{PATH}?replace=true", json=content)
    assert (answer.status_code, answer.json()["replaced"]) == (200, 1)


def test_errors_are_problems_that_say_what_is_right(app: FastAPI) -> None:
    for options, status, said in (
        ({"headers": {"Content-Type": "application/xml"}}, 415, "or text/csv, a header `time,NAME"),
        ({"path": "/v1/workloads/shop/w7/history"}, 404, "shop/w7 does not exist"),
        ({"path": f"{PATH}?replace=perhaps"}, 422, "query.replace='perhaps'"),
        ({"path": f"{PATH}?overwrite=true"}, 422, "It takes replace, cluster"),
        ({"content": b"time,rps\n1767571200,1\n"}, 422, "'rps' is none of shop/w0"),
        ({"content": BODY.replace(b"1.5", b"-1")}, 422, "none of 1 samples can be used: negative"),
        ({"content": b"\xff"}, 422, "no UTF-8"),
    ):
        answer = send(app, **options)
        assert (answer.status_code, answer.headers["content-type"]) == (
            status,
            "application/problem+json",
        ), said
        assert said in answer.json()["detail"]


def test_what_is_packed_and_what_is_sent_to_another_path_is_said_not_lost(app: FastAPI) -> None:
    """A client that takes a redirect for done would lose what it sends."""
    packed = send(app, headers=CSV | {"Content-Encoding": "gzip"})
    assert (packed.status_code, "must be 'identity'" in packed.json()["detail"]) == (415, True)
    for path in (f"{PATH}/", "/v1/observations/"):
        answer = send(app, path)
        assert answer.status_code == 404, path
        assert answer.headers["content-type"] == "application/problem+json"


def test_of_two_histories_of_one_indicator_neither_is_taken(app: FastAPI) -> None:
    one = b'"request_rate_rps": [["2026-01-05T00:00:00Z", 9]]'
    content = b'{"indicators": {' + one + b", " + one + b"}}"
    answer = send(app, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert "key 'request_rate_rps' is given 2 times" in answer.json()["detail"]


def test_the_size_is_bounded(deps: IngestDeps, settings: Settings, register: Register) -> None:
    register()
    deps.settings = settings.model_copy(update={"push_max_bytes": 2048, "push_max_samples": 3})
    app = make_app(deps)
    assert send(app, content=b" " * 4096).status_code == 413
    assert send(app, content=BODY + BODY.splitlines()[1] * 5 + b"\n" * 9).status_code == 413


def test_the_token_or_an_operators_key_of_the_namespace(
    deps: IngestDeps, settings: Settings, app: FastAPI, database: Engine, clock: FixedClock
) -> None:
    deps.settings = settings.model_copy(update={"push_token": SecretStr("sesame")})
    closed = make_app(deps)
    now = SystemClock().now()
    with database.begin() as connection:
        viewer = create_key(connection, "v", Role.VIEWER, now).token
        own = create_key(connection, "o", Role.OPERATOR, now, None, ["shop"]).token
        other = create_key(connection, "x", Role.OPERATOR, now, None, ["team-a"]).token
    for credential, status in (
        ("sesame", 200), (own, 200), (viewer, 403), (other, 404), ("wrong", 401), (None, 401),
    ):  # fmt: skip
        headers = CSV | ({"Authorization": f"Bearer {credential}"} if credential else {})
        assert send(closed, headers=headers).status_code == status, credential


def test_the_document_describes_both_bodies_without_references(app: FastAPI) -> None:
    paths = request(app, "GET", "/openapi.json").json()["paths"]
    for path in ("/v1/workloads/{namespace}/{name}/history", "/v1/observations"):
        operation = paths[path]["post"]
        assert "$ref" not in str(operation["requestBody"])
        assert operation["requestBody"]["required"]
        assert "application/problem+json" in operation["responses"]["422"]["content"]
    bodies = paths["/v1/workloads/{namespace}/{name}/history"]["post"]["requestBody"]["content"]
    assert set(bodies) == {"application/json", "text/csv"}
    pushed = paths["/v1/observations"]["post"]["requestBody"]["content"]["application/json"]
    assert set(pushed["schema"]["properties"]["observations"]["items"]["properties"]) == {
        "namespace", "workload", "indicator", "samples",
    }  # fmt: skip
