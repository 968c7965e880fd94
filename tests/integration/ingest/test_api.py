"""The push API over HTTP."""

from __future__ import annotations

import asyncio

import httpx
import orjson
import psycopg
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import Engine, text

from services.ingest.api import make_app
from services.ingest.deps import IngestDeps
from services.ingest.series import repository
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


@pytest.mark.parametrize(
    ("place", "content", "said"),
    [
        (b'"w0"', b'"\\ud800"', "body: not valid JSON"),
        (b'"w0"', b'"\xed\xa0\x80"', "body: not valid JSON"),
        (b'["2026-01-05T00:00:20Z",-1]', b'"\\uD800", NaN', "body: not valid JSON"),
        (b'"2026-01-05T00:00:10Z",1.5', b"1" + b"0" * 400 + b",1", "none of 2 samples can be"),
        (b'"2026-01-05T00:00:10Z",1.5', b"-1" + b"0" * 400 + b",1", "none of 2 samples can be"),
    ],
)
def test_what_no_column_can_hold_is_the_senders_fault(
    app: FastAPI, place: bytes, content: bytes, said: str
) -> None:
    """Half a character, and a time of 400 digits: a 500 would be sent again, for ever."""
    body = orjson.dumps(ONE)
    assert place in body
    answer = request(app, "POST", PATH, content=body.replace(place, content), headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    assert answer.json()["detail"].startswith(said)


@pytest.mark.parametrize("nan", [b"1.5", b"NaN"])
def test_of_two_lists_of_series_neither_is_taken(
    app: FastAPI, database: Engine, nan: bytes
) -> None:
    """The last would be stored, and the first be lost with the answer of success."""
    one = orjson.dumps(ONE).replace(b"1.5", nan)
    answer = request(app, "POST", PATH, content=one[:-1] + b"," + one[1:], headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
    assert answer.json()["detail"].startswith("body: key 'observations' is given 2 times")
    with database.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM observations")).scalar_one() == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"observations": []}, "observations: no series"),
        (
            {"observations": [ONE["observations"][0] | {"samples": []}]},
            "observations: shop/w0 request_rate_rps has no sample",
        ),
    ],
)
def test_a_push_without_samples_is_refused(app: FastAPI, content: object, said: str) -> None:
    answer = request(app, "POST", PATH, json=content)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    assert answer.json()["detail"].startswith(said)


def test_compressed_bodies_are_refused_by_name(app: FastAPI) -> None:
    answer = request(app, "POST", PATH, content=b"x", headers=JSON | {"Content-Encoding": "gzip"})
    assert answer.status_code == 415
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
    deps: IngestDeps,
    settings: Settings,
    clock: FixedClock,
    register: Register,
    header: str | None,
    status: int,
) -> None:
    register()
    clock.advance(60)
    deps.settings = settings.model_copy(update={"push_token": SecretStr("sesame")})
    headers: dict[str, str | bytes] = {**JSON}
    if header is not None:
        headers["Authorization"] = header.encode()
    answer = request(make_app(deps), "POST", PATH, content=orjson.dumps(ONE), headers=headers)
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


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "text/plain; x=application/json", "", "application/jsonp", "json"],
)
def test_what_a_form_can_send_is_no_push(app: FastAPI, content_type: str) -> None:
    body = orjson.dumps(ONE)
    answer = request(app, "POST", PATH, content=body, headers={"Content-Type": content_type})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    assert "must be application/json" in answer.json()["detail"]
    charset = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert request(app, "POST", PATH, content=body, headers=charset).status_code == 202


FULL = """
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'no space left on device' USING ERRCODE = '53100'; END $$;
CREATE TRIGGER full_disk BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION fail()
"""


@pytest.mark.parametrize("table", ["observations", "ingest_cursors"])
def test_a_full_disk_is_503_and_nothing_is_half_written(
    app: FastAPI, database: Engine, table: str
) -> None:
    with database.begin() as connection:
        connection.execute(text(FULL.format(table=table)))
    answer = request(app, "POST", PATH, json=ONE)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert "disk is full" in answer.json()["detail"]
    assert int(answer.headers["retry-after"]) >= 1
    with database.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM observations")).scalar_one() == 0
        assert connection.execute(text("SELECT count(*) FROM ingest_cursors")).scalar_one() == 0
        connection.execute(text(f"DROP TRIGGER full_disk ON {table}"))
    assert request(app, "POST", PATH, json=ONE).json()["accepted"] == 1


@pytest.mark.parametrize(
    "error",
    [
        psycopg.errors.DiskFull,
        psycopg.OperationalError("gone"),
        psycopg.errors.ReadOnlySqlTransaction,
        psycopg.errors.InsufficientPrivilege,
        psycopg.errors.CheckViolation("no partition of relation found for row"),
    ],
)
def test_the_drivers_own_error_is_503_too(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """COPY is the driver's: what fails there does not come through SQLAlchemy."""

    def copy(*given: object) -> None:
        raise error

    monkeypatch.setattr(repository, "_copy", copy)
    answer = request(app, "POST", PATH, json=ONE)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) >= 1


def test_probes_are_answered_while_pushes_wait(deps: IngestDeps, register: Register) -> None:
    register()
    deps.settings = deps.settings.model_copy(update={"max_concurrent_requests": 60})
    app = make_app(deps)

    async def run() -> set[int]:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:

            def push() -> asyncio.Task[httpx.Response]:
                return asyncio.create_task(client.post(PATH, json=ONE))

            with deps.decoding:  # as if a large one were being decoded
                pushes = [push() for _ in range(60)]
                # a request counts once its body is there: some more may still get in
                while not (await asyncio.wait([one := push()], timeout=0.1))[0]:
                    pushes.append(one)
                assert one.result().status_code == 503
                assert len(pushes) < 120
                for probe in ("/healthz", "/readyz", "/metrics"):
                    assert (await client.get(probe)).status_code == 200
                assert not any(each.done() for each in pushes)
            return {answer.status_code for answer in await asyncio.gather(*pushes)}

    assert asyncio.run(run()) == {202}


def test_series_without_samples_are_counted_too(app: FastAPI, deps: IngestDeps) -> None:
    empty = {**ONE["observations"][0], "samples": []}
    answer = request(app, "POST", PATH, json={"observations": [empty] * 3})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    deps.settings = deps.settings.model_copy(update={"push_max_samples": 3})
    answer = request(app, "POST", PATH, json={"observations": [empty] * 4})
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
