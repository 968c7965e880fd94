"""The push API over HTTP."""

from __future__ import annotations

import orjson
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import Engine, text

from services.ingest.api import make_app
from services.ingest.deps import IngestDeps
from services.kernel.clock import FixedClock
from services.kernel.settings import Settings
from tests.integration.ingest.conftest import Register, request

pytestmark = pytest.mark.integration
PATH = "/v1/observations"
JSON = {"Content-Type": "application/json"}
ONE = {
    "observations": [
        {
            "namespace": "shop",
            "workload": "w0",
            "indicator": "request_rate_rps",
            "samples": [["2026-01-05T00:00:10Z", 1.5], ["2026-01-05T00:00:20Z", -1]],
        }
    ]
}


@pytest.fixture
def app(deps: IngestDeps, clock: FixedClock, register: Register) -> FastAPI:
    register()
    clock.advance(60)
    return make_app(deps)


def test_a_push_is_answered_with_what_became_of_it(app: FastAPI, database: Engine) -> None:
    answer = request(app, "POST", PATH, json=ONE)
    assert answer.status_code == 202
    content = answer.json()
    assert content["accepted"] == 1
    (rejected,) = content["rejected"]
    assert (rejected["reason"], rejected["count"]) == ("negative", 1)
    assert rejected["example"].startswith("shop/w0 request_rate_rps at 2026-01-05T00:00:20+00:00")
    with database.connect() as connection:
        rows = connection.execute(text("SELECT value FROM observations")).scalars().all()
    assert rows == [1.5]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"observations": [1]}'])
def test_a_malformed_push_is_a_problem(app: FastAPI, content: bytes) -> None:
    answer = request(app, "POST", PATH, content=content, headers=JSON)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "invalid_input"


def test_compressed_bodies_are_refused_by_name(app: FastAPI) -> None:
    answer = request(app, "POST", PATH, content=b"x", headers=JSON | {"Content-Encoding": "gzip"})
    assert answer.status_code == 422
    assert "Content-Encoding" in answer.json()["detail"]


def test_size_is_bounded_with_and_without_a_declared_length(
    deps: IngestDeps, settings: Settings
) -> None:
    deps.settings = settings.model_copy(update={"push_max_bytes": 2048, "push_max_samples": 3})
    app = make_app(deps)

    async def chunks():  # type: ignore[no-untyped-def]  # a body of unknown length
        for _ in range(10):
            yield b" " * 1000

    for content in (b" " * 4096, chunks()):
        answer = request(app, "POST", PATH, content=content, headers=JSON)
        assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
    samples = [[n, 1] for n in range(4)]
    many = {"observations": [{**ONE["observations"][0], "samples": samples}]}
    answer = request(app, "POST", PATH, json=many)
    assert answer.status_code == 413
    assert "more than 3 samples" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (None, 401),
        ("Bearer wrong", 401),
        ("", 401),
        ("Bearer hé", 401),
        ("Basic sesame", 401),
        ("sesame", 401),
        ("Bearer sesame", 202),
        ("bearer sesame", 202),
    ],
)
def test_token(
    deps: IngestDeps, settings: Settings, register: Register, header: str | None, status: int
) -> None:
    register()
    deps.settings = settings.model_copy(update={"push_token": SecretStr("sesame")})
    headers: dict[str, str | bytes] = {**JSON}
    if header is not None:
        headers["Authorization"] = header.encode()
    answer = request(
        make_app(deps), "POST", PATH, content=orjson.dumps({"observations": []}), headers=headers
    )
    assert answer.status_code == status
    if status == 401:
        assert answer.json()["code"] == "unauthorized"


def test_health(app: FastAPI) -> None:
    assert request(app, "GET", "/healthz").json() == {"status": "ok"}
    assert request(app, "GET", "/readyz").json() == {"status": "ready"}


def test_not_ready_on_another_schema(app: FastAPI, database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    answer = request(app, "GET", "/readyz")
    assert answer.status_code == 503
    assert "harmony migrate" in answer.json()["detail"]


def test_openapi_describes_the_push(app: FastAPI) -> None:
    found = request(app, "GET", "/openapi.json").json()
    operation = found["paths"][PATH]["post"]
    assert "observations" in str(operation["requestBody"])
    assert "202" in operation["responses"]


def test_metrics_are_served(app: FastAPI) -> None:
    request(app, "POST", PATH, json=ONE)
    metrics = request(app, "GET", "/metrics").text
    assert 'harmony_samples_accepted_total{source="push"}' in metrics
    assert "\nharmony_build_info{version=" in metrics


def test_it_can_be_mounted(app: FastAPI) -> None:
    outer = FastAPI()
    outer.mount("/ingest", app)
    assert request(outer, "POST", f"/ingest{PATH}", json=ONE).status_code == 202
