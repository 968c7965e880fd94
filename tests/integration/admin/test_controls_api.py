"""Policies, pauses, schedules and freezes over HTTP: versions, repetitions, faults, rows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from services.admin.decisions.service import AdminDeps
from services.kernel.security.keys import Role, create_key
from tests.integration.admin.app_client import AppClient
from tests.integration.admin.seeded_fleet import NOW

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]

LLAMA = "/v1/workloads/llm-prod/llama-70b-chat"
SHIFT = {"name": "day", "start_time": "08:00", "end_time": "18:00", "min_replicas": 4}


def count(engine: Engine, table: str) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def patch(client: AppClient, body: dict[str, Any], **headers: str) -> Any:
    return client.request("PATCH", f"{LLAMA}/policy", json=body, headers=headers)


def test_a_policy_is_changed_by_version(admin: AppClient, database: Engine) -> None:
    seen = admin.get(f"{LLAMA}/policy")
    assert (seen.headers["ETag"], seen.json()["version"], seen.json()["overrides"]) == (
        '"0"',
        0,
        {},
    )
    assert patch(admin, {"max_replicas": 30}).json()["code"] == "precondition_required"
    first = patch(admin, {"max_replicas": 30}, **{"If-Match": '"0"'})
    assert (first.status_code, first.headers["ETag"]) == (200, '"1"')
    assert first.json()["overrides"] == {"max_replicas": 30}
    assert first.json()["in_force"]["max_replicas"] == 24, "the operator has not passed yet"
    stale = patch(admin, {"max_replicas": 40}, **{"If-Match": '"0"'})
    assert (stale.status_code, stale.json()["code"]) == (412, "precondition_failed")
    assert '"1"' in stale.json()["detail"]
    taken_back = patch(admin, {"max_replicas": None}, **{"If-Match": '"1"'})
    assert (taken_back.json()["overrides"], taken_back.json()["version"]) == ({}, 2)
    entries = admin.get("/v1/audit").json()["items"]
    assert [e["action"] for e in entries] == ["policy.update", "policy.update"]
    assert entries[1]["after"]["policy"]["max_replicas"] == 30
    assert count(database, "audit") == 2, "what was refused left nothing"


def test_a_wrong_field_is_pointed_at(admin: AppClient) -> None:
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({"max_replicas": 0}, "/max_replicas", "greater_than_equal"),
        ({"epsilon": 1}, "/epsilon", "less_than"),
        ({"mode": "Manual"}, "/mode", "literal_error"),
        ({"replicas": 3}, "/replicas", "extra_forbidden"),
    ]
    for body, pointer, rule in cases:
        answer = patch(admin, body, **{"If-Match": "*"})
        (finding,) = answer.json()["errors"]
        assert (answer.status_code, finding["pointer"], finding["rule"]) == (422, pointer, rule)
        assert finding["value"] == repr(next(iter(body.values())))


def test_what_does_not_fit_the_rest_is_refused_whole(admin: AppClient, database: Engine) -> None:
    answer = patch(admin, {"max_replicas": 1, "epsilon": 0.2}, **{"If-Match": "*"})
    assert answer.status_code == 422
    assert "min_replicas=2 must be <= max_replicas=1" in answer.json()["detail"]
    assert count(database, "workload_controls") == count(database, "audit") == 0


def test_a_repetition_gets_the_first_answer(admin: AppClient, database: Engine) -> None:
    headers = {"If-Match": '"0"', "Idempotency-Key": "k1"}
    first = patch(admin, {"epsilon": 0.02}, **headers)
    again = patch(admin, {"epsilon": 0.02}, **headers)
    assert (again.status_code, again.json()) == (200, first.json())
    assert again.headers["ETag"] == first.headers["ETag"] == '"1"'
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert count(database, "audit") == 1
    other = patch(admin, {"epsilon": 0.03}, **headers)
    assert (other.status_code, other.json()["code"]) == (409, "conflict")
    bad = patch(admin, {"epsilon": 0.02}, **{"If-Match": "*", "Idempotency-Key": "a b"})
    assert bad.status_code == 422


def test_a_refused_write_may_be_sent_again_with_its_key(admin: AppClient) -> None:
    headers = {"Idempotency-Key": "k2"}
    assert patch(admin, {"epsilon": 0.02}, **headers).status_code == 428
    assert patch(admin, {"epsilon": 0.02}, **headers, **{"If-Match": "*"}).status_code == 200


def test_keys_of_one_caller_are_not_anothers(
    admin: AppClient, database: Engine, deps: AdminDeps
) -> None:
    with database.begin() as connection:
        other = create_key(connection, "other", Role.OPERATOR, NOW).token
    headers = {"If-Match": "*", "Idempotency-Key": "k3"}
    assert patch(admin, {"epsilon": 0.02}, **headers).json()["version"] == 1
    mine = patch(admin, {"epsilon": 0.02}, **headers, Authorization=f"Bearer {other}")
    assert mine.json()["version"] == 2


def test_an_old_answer_is_dropped(admin: AppClient, database: Engine, deps: AdminDeps) -> None:
    headers = {"If-Match": "*", "Idempotency-Key": "k4"}
    patch(admin, {"epsilon": 0.02}, **headers)
    deps.wall.advance(86_401)  # type: ignore[attr-defined]  # a FixedClock
    assert patch(admin, {"epsilon": 0.02}, **headers).json()["version"] == 2
    assert count(database, "idempotency_keys") == 1


def test_an_unknown_workload_is_404_on_every_write(admin: AppClient) -> None:
    nowhere = "/v1/workloads/llm-prod/nothing"
    headers = {"If-Match": "*"}
    writes = [
        ("PATCH", "policy", {}),
        ("PUT", "pause", {}),
        ("DELETE", "pause", None),
        ("PUT", "schedules", {"schedules": []}),
        ("DELETE", "schedules", None),
    ]
    for method, part, body in writes:
        answer = admin.request(method, f"{nowhere}/{part}", json=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), (method, part)


def test_a_pause_needs_no_version_but_honours_one(admin: AppClient) -> None:
    until = NOW + timedelta(hours=1)
    past = {"until_at": (NOW - timedelta(seconds=1)).isoformat()}
    refused = admin.request("PUT", f"{LLAMA}/pause", json=past)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/until_at")
    body = {"direction": "ScaleIn", "until_at": until.isoformat(), "reason": "<b>test</b>"}
    made = admin.request("PUT", f"{LLAMA}/pause", json=body)
    assert made.status_code == 200, made.text
    assert made.json()["direction"] == "ScaleIn"
    assert made.json()["reason"] == "<b>test</b>"
    stale = admin.request("DELETE", f"{LLAMA}/pause", headers={"If-Match": '"0"'})
    assert stale.status_code == 412
    lifted = admin.request("DELETE", f"{LLAMA}/pause", headers={"If-Match": '"1"'})
    assert (lifted.status_code, lifted.json()["is_paused"]) == (200, False)
    assert lifted.headers["ETag"] == '"2"'


def test_a_pause_ends_by_itself(admin: AppClient, deps: AdminDeps) -> None:
    body = {"until_at": (NOW + timedelta(minutes=5)).isoformat()}
    admin.request("PUT", f"{LLAMA}/pause", json=body)
    assert admin.get(f"{LLAMA}/pause").json()["is_paused"] is True
    deps.clock.advance(300)  # type: ignore[attr-defined]  # a FixedClock
    assert admin.get(f"{LLAMA}/pause").json()["is_paused"] is False


def test_a_wrong_schedule_is_pointed_at(admin: AppClient) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"timezone": "Mars/Olympus"}, "/schedules/0/timezone"),
        ({"start_time": "24:00"}, "/schedules/0/start_time"),
        ({"days_of_week": [7]}, "/schedules/0/days_of_week/0"),
        ({"min_replicas": 9, "max_replicas": 3}, "/schedules/0"),
        ({"end_time": "08:00"}, "/schedules/0"),
        ({"min_replicas": None}, "/schedules/0"),
    ]
    for change, pointer in cases:
        body = {"schedules": [SHIFT | change]}
        headers = {"If-Match": "*"}
        answer = admin.request("PUT", f"{LLAMA}/schedules", json=body, headers=headers)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


def test_schedules_are_replaced_and_reset(admin: AppClient) -> None:
    path = f"{LLAMA}/schedules"
    night = {"name": "night", "start_time": "22:00", "end_time": "06:00", "freeze": "ScaleDown"}
    body = {"schedules": [SHIFT, night]}
    made = admin.request("PUT", path, json=body, headers={"If-Match": '"0"'}).json()
    assert [(s["name"], s["is_in_force"]) for s in made["schedules"]] == [
        ("day", True),
        ("night", False),
    ]
    assert (made["source"], made["is_in_force"]) == ("api", False)
    twice = {"schedules": [SHIFT, SHIFT]}
    refused = admin.request("PUT", path, json=twice, headers={"If-Match": '"1"'})
    assert "'day' is given twice" in refused.json()["detail"]
    reset = admin.request("DELETE", path, headers={"If-Match": '"1"'}).json()
    assert (reset["source"], reset["schedules"], reset["is_in_force"]) == ("kubernetes", [], True)


def test_lists_page_and_filter_by_namespace_and_label(admin: AppClient, database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(
            text(
                "UPDATE workloads SET spec = spec || CAST(:more AS jsonb) "
                "WHERE name = 'mixtral-agents'"
            ),
            {"more": '{"labels": {"team": "chat", "tier": "a"}}'},
        )
    seen: list[str] = []
    cursor = None
    while True:
        query = {"limit": 1} | ({"cursor": cursor} if cursor else {})
        page = admin.get("/v1/policies", params=query).json()
        seen += [item["workload"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == ["sdxl-turbo", "llama-70b-chat", "mixtral-agents"]

    def found(**query: Any) -> list[str]:
        answer = admin.get("/v1/policies", params=query)
        assert answer.status_code == 200, answer.text
        return [item["workload"] for item in answer.json()["items"]]

    assert found(namespace="diffusion") == ["sdxl-turbo"]
    assert found(label="team=chat") == ["mixtral-agents"]
    assert found(label=["team=chat", "tier=b"]) == []
    assert admin.get("/v1/policies", params={"label": "team"}).status_code == 422
    assert admin.get("/v1/policies", params={"cursor": "AAAA"}).status_code == 422


def test_freezes_of_the_fleet_need_an_operator_of_the_fleet(
    admin: AppClient, database: Engine
) -> None:
    with database.begin() as connection:
        token = create_key(connection, "own", Role.OPERATOR, NOW, None, ["llm-prod"]).token
    own = {"headers": {"Authorization": f"Bearer {token}"}}
    until = (NOW + timedelta(days=1)).isoformat()
    assert admin.post("/v1/freezes", json={"until_at": until}, **own).status_code == 403
    elsewhere = {"until_at": until, "namespace": "diffusion"}
    hidden = admin.post("/v1/freezes", json=elsewhere, **own)
    assert hidden.status_code == 404
    mine = admin.post("/v1/freezes", json={"until_at": until, "namespace": "llm-prod"}, **own)
    fleet = admin.post("/v1/freezes", json={"until_at": until, "reason": "audit week"})
    other = admin.post("/v1/freezes", json=elsewhere)
    assert {mine.status_code, fleet.status_code, other.status_code} == {201}
    assert mine.json()["is_in_force"] is True
    seen = [item["id"] for item in admin.get("/v1/freezes", **own).json()["items"]]
    assert seen == [fleet.json()["id"], mine.json()["id"]]
    assert admin.get(other.headers["Location"], **own).status_code == 404
    gone = admin.request("DELETE", fleet.headers["Location"])
    assert (gone.status_code, gone.content) == (204, b"")
    assert admin.request("DELETE", fleet.headers["Location"]).status_code == 409
    standing = admin.get("/v1/freezes", params={"standing": True}).json()["items"]
    assert [item["id"] for item in standing] == [other.json()["id"], mine.json()["id"]]
    after = {"from_at": (NOW + timedelta(days=2)).isoformat()}
    assert admin.get("/v1/freezes", params=after).json()["items"] == []


def test_a_freeze_that_makes_no_sense_is_refused(admin: AppClient) -> None:
    until = (NOW + timedelta(days=1)).isoformat()
    wrong = [
        {"until_at": (NOW - timedelta(days=1)).isoformat()},
        {"until_at": until, "from_at": until},
        {"until_at": until, "workload": "llama-70b-chat"},
        {"until_at": "2026-11-30T00:00:00"},
        {"until_at": until, "namespace": "prod\x00"},
        {"until_at": until, "reason": "a\x00b"},
        {},
    ]
    for body in wrong:
        assert admin.post("/v1/freezes", json=body).status_code == 422, body
    unknown = {"until_at": until, "namespace": "llm-prod", "workload": "nothing"}
    assert admin.post("/v1/freezes", json=unknown).status_code == 404


def test_sla_classes_show_what_is_promised_and_kept(admin: AppClient, database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(
            text(
                "UPDATE workloads SET spec = jsonb_set(spec, '{sla,sla_class}', '\"gold\"') "
                "WHERE name = 'sdxl-turbo'"
            )
        )
    gold, silver = admin.get("/v1/sla-classes").json()["items"]
    assert (gold["name"], gold["priority"], gold["n_workloads"]) == ("gold", 200, 1)
    assert (silver["name"], silver["priority"], silver["n_workloads"]) == ("silver", 100, 2)
    assert silver["epsilon_min"] == silver["epsilon_max"] == 0.01
    assert silver["n_measured_steps"] == 2 * 48
    assert 0 <= silver["violation_ratio"] <= 1
    assert admin.get("/v1/sla-classes/gold").json() == gold
    assert admin.get("/v1/sla-classes/bronze").status_code == 404
    page = admin.get("/v1/sla-classes", params={"limit": 1}).json()
    rest = admin.get("/v1/sla-classes", params={"cursor": page["next_cursor"]}).json()
    assert [page["items"], rest["items"]] == [[gold], [silver]]


def test_the_audit_log_is_filtered(admin: AppClient, deps: AdminDeps) -> None:
    patch(admin, {"epsilon": 0.02}, **{"If-Match": "*"})
    deps.wall.advance(60)  # type: ignore[attr-defined]  # a FixedClock
    admin.request("PUT", f"{LLAMA}/pause", json={})
    until = (NOW + timedelta(days=1)).isoformat()
    admin.post("/v1/freezes", json={"until_at": until})

    def found(**query: str) -> list[str]:
        return [e["action"] for e in admin.get("/v1/audit", params=query).json()["items"]]

    assert found() == ["freeze.create", "pause.set", "policy.update"]
    assert found(action="pause.set") == ["pause.set"]
    assert found(object="workload/llm-prod/") == ["pause.set", "policy.update"]
    assert found(from_at=(NOW + timedelta(seconds=30)).isoformat()) == found()[:2]
    assert found(actor="nobody") == []
