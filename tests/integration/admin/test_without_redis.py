"""Without Redis all goes on that needs no session of the console."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import Engine, text

from services.admin.app import make_app
from services.admin.deps import AdminDeps
from services.admin.main import make_deps
from services.admin.sessions import SessionStore
from services.kernel import telemetry
from services.kernel.security.keys import Role
from services.kernel.security.limits import Limiter
from services.kernel.settings import Settings
from tests.integration.admin.app_client import BASE_URL, AppClient, bearer

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]
NOBODY = "redis://127.0.0.1:1/0"
PROBE_S = 5.0
"""For so long a probe of the chart waits."""
COOKIE = {"Cookie": "harmony_session=x"}


def is_told() -> float | None:
    return telemetry.REGISTRY.get_sample_value("harmony_redis_unreachable")


@pytest.fixture
def away(deps: AdminDeps) -> Iterator[AdminDeps]:
    """Dependencies on a Redis that is not there."""
    with redis.Redis.from_url(NOBODY, retry=Retry(NoBackoff(), retries=0)) as client:
        sessions = SessionStore(client, b"k" * 32, deps.wall)
        limiter = Limiter.connect("admin", NOBODY)
        yield replace(deps, redis=client, sessions=sessions, limiter=limiter)


def test_all_that_needs_no_session_goes_on(
    deps: AdminDeps, away: AdminDeps, keys: dict[Role, str]
) -> None:
    with AppClient(make_app(away), bearer(keys[Role.ADMIN])) as client:
        ready = client.get("/readyz")
        assert ready.status_code == 200
        assert ready.json()["checks"] == {
            "database": "ok",
            "schema": "ok",
            "redis": "cannot be reached",
        }
        assert is_told() == 1
        assert client.get("/v1/workloads").status_code == 200
        freeze = {"until_at": "2027-01-01T00:00:00Z", "direction": "Both", "reason": "incident"}
        assert client.post("/v1/freezes", json=freeze).status_code == 201
    with AppClient(make_app(deps)) as client:
        assert client.get("/readyz").json()["checks"]["redis"] == "ok"
        assert is_told() == 0


def test_what_needs_a_session_is_503(
    away: AdminDeps, keys: dict[Role, str], database: Engine
) -> None:
    with AppClient(make_app(away)) as client:
        for answer in (
            client.get("/v1/workloads", headers=COOKIE),
            client.get("/", headers=COOKIE),
            client.post("/login", data={"key": keys[Role.VIEWER]}, headers={"Origin": BASE_URL}),
        ):
            assert answer.status_code == 503
            assert answer.headers["Retry-After"] == "1"
            assert "Redis cannot be reached" in answer.text
        problem = client.get("/v1/workloads", headers=COOKIE)
        assert problem.headers["content-type"] == "application/problem+json"
        page = client.get("/", headers=COOKIE | {"Accept": "text/html"})
        assert (page.status_code, page.headers["content-type"]) == (503, "text/html; charset=utf-8")
        assert client.get("/login").status_code == 200
    with database.connect() as connection:
        statement = text("SELECT count(*) FROM audit WHERE action = 'session.open'")
        assert connection.execute(statement).scalar_one() == 0, "none was opened"


def test_a_silent_redis_is_told_sooner_than_a_probe_waits(
    database_url: str, settings: Settings
) -> None:
    """One whose machine is gone refuses nothing: it never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        values = {"redis_url": url, "database_url": database_url}
        deps = make_deps(settings.model_copy(update=values))
        with AppClient(make_app(deps)) as client:
            began_s = time.monotonic()
            ready = client.get("/readyz")
            assert time.monotonic() - began_s < PROBE_S
        deps.redis.close()
        deps.engine.dispose()
    assert ready.json()["checks"]["redis"] == "cannot be reached"
