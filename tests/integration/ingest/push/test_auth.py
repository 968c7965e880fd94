"""The edge of the push API: credentials, wrong ones counted, limits, proxies."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import httpx
import pytest
import redis
from pydantic import SecretStr
from sqlalchemy import Engine
from structlog.testing import capture_logs

from services.ingest.deps import IngestDeps
from services.ingest.main import make_standalone_app
from services.kernel.clock import FixedClock, SystemClock
from services.kernel.errors import Unavailable
from services.kernel.security.keys import KeyVerifier, Role, create_key
from services.kernel.security.limits import Limiter
from services.kernel.settings import Settings
from tests.integration.ingest.conftest import Register
from tests.integration.ingest.pushes import RATE, at_s, body

pytestmark = pytest.mark.integration
PUSH, WRITE = "/v1/observations", "/api/v1/write"
SAMPLE = body(("w0", RATE, [[at_s(0), 1.0]]))


class Edge:
    """The push API behind its edge, with other settings."""

    def __init__(self, deps: IngestDeps, settings: Settings, limiter: Limiter) -> None:
        self._deps, self._settings = deps, settings
        deps.limiter = limiter
        self.app: Any = None

    def set(self, **changes: Any) -> Edge:
        values = {"push_token": SecretStr("sesame")} | changes
        self._deps.settings = self._settings.model_copy(update=values)
        self.app = make_standalone_app(self._deps)
        return self

    def post(self, credential: str | None, path: str = PUSH, **headers: str) -> httpx.Response:
        """A push of one sample; 202 and 415 mean that the credential was accepted."""
        if path == PUSH:
            headers = {"Content-Type": "application/json"} | headers
        if credential is not None:
            headers["Authorization"] = f"Bearer {credential}"

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://localhost"
            ) as client:
                return await client.post(path, content=SAMPLE, headers=headers)

        return asyncio.run(send())


@pytest.fixture
def edge(
    deps: IngestDeps, settings: Settings, redis_url: str, register: Register
) -> Iterator[Edge]:
    register()
    client = redis.Redis.from_url(redis_url)
    yield Edge(deps, settings, Limiter("ingest", client)).set()
    client.close()


@pytest.fixture
def keys(database: Engine) -> dict[str, str]:
    now = SystemClock().now()
    with database.begin() as connection:
        made = {str(role): create_key(connection, str(role), role, now).token for role in Role}
        scoped = create_key(connection, "scoped", Role.ADMIN, now, None, ["team-a"])
        return made | {"scoped": scoped.token}


def test_the_token_or_an_operators_key(edge: Edge, keys: dict[str, str]) -> None:
    for credential, pushes, writes in (
        ("sesame", 202, 415),
        (keys["operator"], 202, 415),
        (keys["admin"], 202, 415),
        (keys["viewer"], 403, 403),
        (keys["scoped"], 403, 415),  # a push names any workload, a remote write is sifted
        ("wrong", 401, 401),
        ("hk_0123456789_" + "x" * 43, 401, 401),
        (None, 401, 401),
    ):
        found = (edge.post(credential).status_code, edge.post(credential, WRITE).status_code)
        assert found == (pushes, writes), credential


@pytest.mark.parametrize("path", [PUSH, WRITE])
def test_the_credential_is_a_bearers_and_not_empty(edge: Edge, path: str) -> None:
    for header in ("Basic sesame", "sesame", "Bearer", "Bearer ", ""):
        with capture_logs() as logs:
            assert edge.post(None, path, Authorization=header).status_code == 401, header
        reasons = [line["reason"] for line in logs if line["event"] == "auth_refused"]
        assert reasons == ["no_credential"], header
    for header in ("bearer sesame", "BEARER sesame"):
        assert edge.post(None, path, Authorization=header).status_code in {202, 415}, header


def test_what_was_wrong_is_told_to_the_log_only(edge: Edge, keys: dict[str, str]) -> None:
    answers, reasons = set(), []
    for credential in (None, "wrong", keys["admin"] + "x"):
        with capture_logs() as logs:
            answer = edge.post(credential)
        assert answer.headers["www-authenticate"] == 'Bearer realm="harmony"'
        answers.add(answer.text)
        reasons += [line["reason"] for line in logs if line["event"] == "auth_refused"]
        assert keys["admin"] not in str(logs)
    assert len(answers) == 1
    assert reasons == ["no_credential", "malformed_key", "wrong_secret"]


def test_a_key_lives_by_the_wall_clock_in_a_replay_too(
    edge: Edge, deps: IngestDeps, database: Engine
) -> None:
    deps.wall = FixedClock(deps.clock.now())
    with database.begin() as connection:
        ends = deps.wall.now() + timedelta(hours=1)
        token = create_key(connection, "x", Role.ADMIN, deps.wall.now(), ends).token
    assert edge.post(token).status_code == 202
    deps.wall.advance(3600)
    assert edge.post(token).status_code == 401


def test_wrong_credentials_are_few(edge: Edge, keys: dict[str, str]) -> None:
    edge.set(auth_failures_per_min=3)
    assert edge.post(keys["operator"]).status_code == 202
    wrong = [edge.post("wrong").status_code for _ in range(5)]
    assert wrong == [401, 401, 401, 429, 429]
    assert int(edge.post("wrong").headers["retry-after"]) >= 1
    assert edge.post(keys["admin"]).status_code == 429
    assert edge.post(keys["operator"]).status_code == 202  # verified a moment ago
    assert edge.post("sesame").status_code == 202


def test_a_neighbour_with_a_stale_key_never_holds_up_one_in_use(
    edge: Edge, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    verifier = partial(KeyVerifier, ttl_s=-1.0)  # as if each request came a minute later
    monkeypatch.setattr("services.ingest.push.auth.KeyVerifier", verifier)
    edge.set(auth_failures_per_min=3)
    assert edge.post(keys["operator"]).status_code == 202
    stale = [edge.post("hk_0123456789_" + "x" * 43).status_code for _ in range(5)]
    assert stale == [401, 401, 401, 429, 429]
    assert [edge.post(keys["operator"]).status_code for _ in range(3)] == [202] * 3
    assert edge.post(keys["admin"]).status_code == 429


def test_a_key_that_nobody_can_check_is_not_taken_for_a_wrong_one(
    edge: Edge, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    edge.set(auth_failures_per_min=3)
    with monkeypatch.context() as away:

        def unreachable(self: KeyVerifier, token: str, now: object) -> None:
            raise Unavailable("the database cannot be reached")

        away.setattr(KeyVerifier, "verify", unreachable)
        assert [edge.post(keys["operator"]).status_code for _ in range(6)] == [503] * 6
    assert edge.post(keys["operator"]).status_code == 202


def test_an_address_asks_so_often_and_no_more(edge: Edge) -> None:
    edge.set(address_rate_per_s=0.001, address_rate_burst=2)
    hops = {"X-Forwarded-For": "198.51.100.1"}
    found = [edge.post("sesame", PUSH, **hops) for _ in range(3)]
    assert [answer.status_code for answer in found] == [202, 202, 429]
    assert found[-1].json()["code"] == "too_many_requests"
    edge.set(address_rate_per_s=0.001, address_rate_burst=2, trusted_proxies="127.0.0.1")
    assert edge.post("sesame", PUSH, **hops).status_code == 202
    assert edge.post("sesame").status_code == 429


def test_who_has_no_token_is_told_where_it_is_on_this_machine_only(
    edge: Edge, deps: IngestDeps
) -> None:
    deps.token_file = "/srv/harmony/up/push-token"
    for credential in (None, "wrong"):
        for path in (PUSH, WRITE):
            assert "/srv/harmony/up/push-token" in edge.post(credential, path).json()["detail"]
    edge.set(host="0.0.0.0")
    assert "push-token" not in edge.post(None).text


def test_another_sites_page_is_refused_before_anything_is_read(edge: Edge) -> None:
    for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
        for path in (PUSH, WRITE):
            answer = edge.post("sesame", path, **headers)
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), headers
