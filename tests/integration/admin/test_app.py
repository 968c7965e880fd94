"""The REST API on a real database: what it returns, whom it admits, how it fails."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import create_engine, text

from services.admin.app import make_app
from services.admin.deps import AdminDeps
from services.kernel.security.keys import Role
from tests.integration.admin.app_client import AppClient
from tests.integration.admin.llama_api import LLAMA

pytestmark = pytest.mark.integration
BAD_REQUESTS = [
    ("/v1/workloads/llm-prod/none", 404, "llm-prod/none"),
    (f"{LLAMA}/forecasts?origin_at=2020-01-01T00:00:00Z", 404, "2020-01-01"),
    ("/v1/workloads/llm-prod/none/indicators", 404, "llm-prod/none"),
    ("/v1/decisions/424242", 404, "424242"),
    ("/v1/decisions/0", 422, "decision_id"),
    ("/v1/decisions/99999999999999999999", 422, "decision_id"),
    (f"{LLAMA}/forecasts?origin_at=2026-01-06T00:00:00", 422, "origin_at"),
    (f"{LLAMA}/forecasts?n_context=0", 422, "n_context"),
    (f"{LLAMA}/indicators?indicator=nope", 422, "nope"),
    (
        f"{LLAMA}/allocation?from_at=2026-01-07T00:00:00Z&to_at=2026-01-06T00:00:00Z",
        422,
        "from_at",
    ),
    (f"{LLAMA}/allocation?from_at=1990-01-01T00:00:00Z", 422, "20000 steps"),
    ("/v1/decisions?cursor=zzz", 422, "next_cursor"),
    ("/v1/decisions?cursor=WyJ4IiwxXQ", 422, "next_cursor"),
    ("/v1/workloads?cursor=WzEsMl0", 422, "next_cursor"),
    ("/v1/models?cursor=WzEsMl0", 422, "next_cursor"),
    ("/v1/decisions?workload=llama", 422, "namespace/name"),
    ("/v1/decisions?direction=sideways", 422, "direction"),
    ("/v1/decisions?reason=scale_up", 422, "scale_up_risk"),
    ("/v1/decisions?limit=501", 422, "limit"),
    ("/v1/nothing", 404, ""),
    ("/v1/workloads/", 404, ""),
]


@pytest.mark.usefixtures("seeded")
def test_what_cannot_be_used_is_named(viewer) -> None:
    for path, status, says in BAD_REQUESTS:
        answer = viewer.get(path)
        assert answer.status_code == status, (path, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        body = answer.json()
        assert body["status"] == status
        assert body["code"] == {404: "not_found", 422: "invalid_input"}[status]
        assert says in body["detail"], path


def test_health_and_readiness(anonymous, database, deps) -> None:
    assert anonymous.get("/healthz").json() == {"status": "ok"}
    ready = anonymous.get("/readyz")
    assert ready.json()["checks"] == {"database": "ok", "redis": "ok", "schema": "ok"}
    with database.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    answer = anonymous.get("/readyz")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"
    assert answer.headers["content-type"] == "application/problem+json"
    assert "harmony migrate" in answer.json()["errors"][0]["message"]


def test_openapi_describes_every_answer(viewer) -> None:
    document = viewer.get("/openapi.json").json()
    assert document["info"]["title"] == "Harmony admin API"
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if not path.startswith("/v1"):
                continue
            assert operation["summary"], (method, path)
            assert operation["description"], (method, path)
            assert operation["security"], (method, path)
            assert {"401", "403", "404", "422", "503"} <= set(operation["responses"]), path
    assert "examples" in str(document["components"]["schemas"]["KeyRequest"])


def test_used_up_connections_are_said(deps: AdminDeps, keys: dict[Role, str]) -> None:
    """A request that finds no connection in time is told to come back, not that we failed."""
    url = deps.engine.url
    engine = create_engine(url, pool_size=1, max_overflow=0, pool_timeout=0.05)
    held = engine.connect()
    small = replace(deps, engine=engine)
    with AppClient(make_app(small), {"Authorization": f"Bearer {keys[Role.VIEWER]}"}) as client:
        answer = client.get("/v1/models")
    held.close()
    engine.dispose()
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer.headers["Retry-After"] == "1"
