"""The REST API on a real database: what it returns, whom it admits, how it fails."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Engine, create_engine, text

from services.admin.app import make_app
from services.admin.decisions.service import AdminDeps
from services.kernel.security.keys import Role
from tests.integration.admin.app_client import AppClient

pytestmark = pytest.mark.integration

LLAMA = "/v1/workloads/llm-prod/llama-70b-chat"


@pytest.mark.usefixtures("seeded")
def test_fleet_shows_live_state_and_pages(viewer) -> None:
    everything = viewer.get("/v1/workloads").json()
    assert [item["name"] for item in everything["items"]] == [
        "sdxl-turbo",
        "llama-70b-chat",
        "mixtral-agents",
    ]
    llama = everything["items"][1]
    assert llama["replicas"]["spec"] >= 2
    assert llama["last_decision"]["action_result"] in {"applied", "unchanged"}
    assert llama["last_decision"]["forecast_rung"] == "model"
    assert llama["last_decision"]["valid_until"] > llama["last_decision"]["decided_at"]
    assert llama["risk"]["target"] == 0.01
    assert llama["risk"]["n_measured_steps"] == 48
    assert llama["risk"]["budget_remaining"] == pytest.approx(1 - 4 / (0.01 * 7 * 288))
    assert llama["demand"] is not None
    seen, cursor = [], None
    while True:
        query = {"limit": 1} | ({"cursor": cursor} if cursor else {})
        page = viewer.get("/v1/workloads", params=query).json()
        seen += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == everything["items"]
    found = viewer.get("/v1/workloads", params={"search": "LLAMA"}).json()["items"]
    assert [item["name"] for item in found] == ["llama-70b-chat"]
    assert viewer.get("/v1/workloads", params={"search": "%"}).json()["items"] == []


def test_unknown_stays_unknown_before_the_first_snapshot(viewer, database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO workloads (namespace, name, shard, step_s, spec, created_at, "
                "updated_at) VALUES ('a', 'b', 0, 300, CAST(:spec AS jsonb), now(), now())"
            ),
            {
                "spec": '{"target": "Deployment/b", "demand": "rps", "capacity": '
                '{"per_replica": 5}, "indicators": [{"name": "rps", "level": 1}]}'
            },
        )
    view = viewer.get("/v1/workloads/a/b").json()
    assert view["replicas"] is None
    assert view["last_decision"] is None
    assert view["demand"] is None
    assert view["cost_usd"] is None
    assert view["risk"]["measured"] is None
    assert view["risk"]["budget_remaining"] is None
    answer = viewer.get("/v1/workloads/a/b/forecasts")
    assert answer.status_code == 404
    assert "no forecast yet" in answer.json()["detail"]
    assert viewer.get("/v1/workloads/a/b/quality").json() == []
    assert viewer.get("/v1/workloads/a/b/lead-times").json()["p50_s"] is None


def test_fan_chart(viewer, seeded) -> None:
    fan = viewer.get(f"{LLAMA}/forecasts", params={"n_context": 40}).json()
    assert fan["origin_at"] == "2026-01-06T11:55:00Z"
    assert fan["step_at"][0] == "2026-01-06T12:00:00Z"
    assert len(fan["step_at"]) == 12
    assert len(fan["quantiles"]) == len(fan["quantile_levels"]) == 9
    assert fan["quantile_levels"][0] == 0.01
    for column in zip(*fan["quantiles"], strict=True):
        assert list(column) == sorted(column)
    assert len(fan["observed"]["step_at"]) == 40
    assert fan["observed"]["demand"].count(None) == 1  # the gap is a gap, not a zero
    assert fan["next_origin_at"] is None
    older = viewer.get(f"{LLAMA}/forecasts", params={"origin_at": fan["previous_origin_at"]}).json()
    assert older["next_origin_at"] == fan["origin_at"]
    assert len(older["observed"]["demand"]) == 48


def test_forecasts_ahead_line_up_with_what_came(viewer, seeded) -> None:
    ahead = viewer.get(f"{LLAMA}/forecasts/ahead", params={"n_ahead": 3}).json()
    at = [seeded.origins[0] + timedelta(seconds=300 * k) for k in range(48 + 1)]
    assert ahead["step_at"][0] == at[0].isoformat().replace("+00:00", "Z")
    assert ahead["quantiles"][0][:3] == [None] * 3  # nothing was forecast three steps before these
    assert all(value is not None for value in ahead["quantiles"][4][3:])
    origin = ahead["step_at"][10 - 3]
    fan = viewer.get(f"{LLAMA}/forecasts", params={"origin_at": origin}).json()
    assert [row[10] for row in ahead["quantiles"]] == [row[2] for row in fan["quantiles"]]
    assert ahead["demand"][10] == pytest.approx(fan["observed"]["demand"][-10], rel=1e-6)


def test_the_forecast_that_was_decided_upon_wins_over_a_shadow(viewer, seeded, database) -> None:
    with database.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO forecasts SELECT 999999 AS id, origin_at, workload_id, 'shadow-1', "
                "rung, reason, step_s, n_horizon, quantile_levels, quantiles, n_paths, paths, "
                "path_scale, created_at FROM forecasts WHERE id = 100047"
            )
        )
    assert viewer.get(f"{LLAMA}/forecasts").json()["model_version"] == "harmony-flow-3"
    ahead = viewer.get(f"{LLAMA}/forecasts/ahead").json()
    assert len(ahead["step_at"]) == len(set(ahead["step_at"]))


@pytest.mark.usefixtures("seeded")
def test_series(viewer) -> None:
    allocation = viewer.get(f"{LLAMA}/allocation").json()
    assert len(allocation["needed"]) == len(allocation["step_at"]) == 48
    assert len(allocation["desired"]) == len(allocation["ready"]) == 48
    series = viewer.get(f"{LLAMA}/indicators", params={"indicator": "gpu_duty_ratio"}).json()
    assert [item["name"] for item in series] == ["gpu_duty_ratio"]
    assert series[0]["level"] == 3
    assert len(series[0]["values"]) == 48
    every = viewer.get(f"{LLAMA}/indicators").json()
    assert len(every) == 3
    quality = viewer.get(f"{LLAMA}/quality").json()
    assert quality[0]["n_forecasts"] == 48
    assert quality[0]["coverage"]["0.9"] == pytest.approx(0.89)
    assert quality[0]["skill_vs_last_value"] == pytest.approx(1 - 0.08 / 0.104)
    lead = viewer.get(f"{LLAMA}/lead-times").json()
    assert lead["n_measured"] + lead["n_on_the_way"] == 20
    assert 60 <= lead["p50_s"] <= lead["p90_s"] <= lead["max_s"]


@pytest.mark.usefixtures("seeded")
def test_decisions_page_without_gap_or_repeat(viewer) -> None:
    path, seen, cursor = "/v1/decisions", [], None
    while True:
        query = {"limit": 37} | ({"cursor": cursor} if cursor else {})
        page = viewer.get(path, params=query).json()
        seen += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == 3 * 48
    assert len({item["id"] for item in seen}) == len(seen)
    assert [i["origin_at"] for i in seen] == sorted((i["origin_at"] for i in seen), reverse=True)


@pytest.mark.usefixtures("seeded")
def test_decisions_filter(viewer) -> None:
    query = {"workload": "llm-prod/llama-70b-chat", "changes": True, "limit": 500}
    changes = viewer.get("/v1/decisions", params=query).json()["items"]
    assert changes
    assert all(i["desired_replicas"] != i["current_replicas"] for i in changes)
    assert {i["workload"] for i in changes} == {"llama-70b-chat"}
    ups = viewer.get("/v1/decisions", params={"direction": "up", "limit": 500}).json()["items"]
    assert {i["reason"] for i in ups} == {"scale_up_risk"}
    window = {"from_at": "2026-01-06T11:00:00Z", "to_at": "2026-01-06T11:10:00Z"}
    assert len(viewer.get("/v1/decisions", params=window).json()["items"]) == 9
    applied = viewer.get("/v1/actions", params={"result": "applied", "limit": 500}).json()["items"]
    assert {i["result"] for i in applied} == {"applied"}
    outcomes = viewer.get("/v1/outcomes", params=window).json()["items"]
    assert len(outcomes) == 9


@pytest.mark.usefixtures("seeded")
def test_one_decision_answers_why(viewer) -> None:
    detail = viewer.get("/v1/decisions/100040").json()
    assert detail["workload"] == "llama-70b-chat"
    assert detail["model_version"] == "harmony-flow-3"
    assert detail["explanation"]["guard_trace"][0]["guard"] == "stale_input"
    assert detail["explanation"]["counterfactuals"]["median_forecast"] >= 2
    assert [action["attempt"] for action in detail["actions"]] == [1]
    assert detail["action_result"] == detail["actions"][0]["result"]
    assert len(detail["outcomes"]) == 1


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
    ("/v1/decisions?limit=501", 422, "limit"),
    ("/v1/nothing", 404, ""),
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
