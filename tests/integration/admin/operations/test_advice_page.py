"""Advice in the console and over REST: asked for, followed, read, and seen by whom it concerns."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
from sqlalchemy import Engine, text

from services.admin.deps import AdminDeps
from services.admin.workloads import service as workloads
from services.advisory.operation import carry_out
from services.kernel import jobs
from services.kernel.jobs import RecordingSender
from services.kernel.security.keys import Role
from tests.integration.admin.app_client import AppClient
from tests.integration.admin.console_visitor import audited, person
from tests.integration.admin.seeded_fleet import NOW

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]

OWN = {"since_hours": "168", "namespace": "llm-prod"}


def test_a_report_from_its_form_to_its_words(deps: AdminDeps, database: Engine) -> None:
    with person(deps, Role.OPERATOR, ["llm-prod"]) as human:
        form = human.get("/advice").text
        assert "No report has been made yet" in form
        assert '<option value="llm-prod"' in form
        assert '<option value="">all' not in form, "an operator of one namespace asks for that one"
        asked = human.send("/advice", OWN)
        assert asked.status_code == 303, asked.text
        path = asked.headers["location"]
        operation = int(path.rpartition("/")[2])
        assert isinstance(deps.sender, RecordingSender)
        assert [(job.name, job.payload) for job in deps.sender.sent] == [
            (jobs.ADVISE, {"operation_id": operation})
        ]
        assert f'hx-get="{path}/progress"' in human.get(path).text
        assert "hx-refresh" not in human.get(f"{path}/progress").headers
        carry_out(deps.engine, deps.clock, deps.wall, operation)
        assert human.get(f"{path}/progress").headers["hx-refresh"] == "true"
        result = human.get(f"/v1/operations/{operation}").json()["result"]
        for page in (human.get(path).text, human.get("/advice").text):
            assert "every 2s" not in page
            for row in result["rows"]:
                assert f'<a href="/workloads/{row["workload"]}">' in page
            assert result["notes"][0].split("`")[0] in page.replace("&#39;", "'")
    assert [action for _, action, _ in audited(database)] == ["advise.submit"]


def test_a_report_of_a_namespace_is_seen_there_alone(deps: AdminDeps) -> None:
    with person(deps, Role.OPERATOR, ["llm-prod"]) as human:
        path = human.send("/advice", OWN).headers["location"]
        fleet = human.send("/advice", {"since_hours": "24"})
        assert fleet.status_code == 403
        assert "name one: namespace" in fleet.text
        assert human.send("/advice", OWN | {"namespace": "diffusion"}).status_code == 404
    with person(deps, Role.VIEWER, ["diffusion"]) as stranger:
        assert stranger.get(path).status_code == 404
        assert stranger.get(f"{path}/progress").status_code == 404
        assert path not in stranger.get("/advice").text
    with person(deps, Role.VIEWER, ["llm-prod"]) as viewer:
        assert path in viewer.get("/advice").text
        assert "New report" not in viewer.get("/advice").text
        assert viewer.send("/advice", OWN).status_code == 403
        assert viewer.send(f"{path}/cancel").status_code == 403


def test_a_report_that_waits_is_cancelled(deps: AdminDeps) -> None:
    with person(deps, Role.OPERATOR) as human:
        assert '<option value="">all' in human.get("/advice").text
        path = human.send("/advice", {"since_hours": "24"}).headers["location"]
        assert human.send(f"{path}/cancel").headers["location"] == f"{path}?done=cancelled"
        assert "cancelled before it began" in human.get(path).text
        assert human.send(f"{path}/cancel").status_code == 409


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"since_hours": 0}, 422, "since_hours=0"),
        ({"since_hours": 9999}, 422, "since_hours=9999"),
        ({"since_hours": 1, "namespace": "No Such"}, 422, "namespace='No Such'"),
        (
            {"since_hours": 1, "namespace": "nowhere"},
            404,
            "namespace nowhere has no active workload",
        ),
        ({"since": "7d"}, 422, "since_hours: is missing"),
    ],
)
def test_what_cannot_be_asked_names_its_field(
    admin: AppClient, body: dict[str, object], status: int, words: str
) -> None:
    answer = admin.post("/v1/advice", json=body)
    assert answer.status_code == status
    assert words in answer.json()["detail"]


def test_over_rest_it_is_an_operation_of_the_fleet(admin: AppClient) -> None:
    asked = admin.post("/v1/advice", json={"since_hours": 168})
    assert asked.status_code == 202
    made = asked.json()
    assert (made["kind"], made["params"]) == ("advise", {"since_hours": 168.0, "namespace": None})
    assert asked.headers["location"] == f"/v1/operations/{made['id']}"
    listed = admin.get("/v1/operations", params={"kind": "advise"}).json()["items"]
    assert [one["id"] for one in listed] == [made["id"]]


def test_the_newest_report_is_that_on_every_page_of_the_list(
    deps: AdminDeps, database: Engine
) -> None:
    """On the second page one of days ago was called the newest."""
    window = {"from_at": NOW.isoformat(), "to_at": NOW.isoformat()}
    result = window | {"services": [], "rows": [], "notes": [], "verdict": "It would pay."}
    values = {
        "params": json.dumps({"since_hours": 24, "namespace": None}),
        "result": json.dumps(result),
    }
    with database.begin() as connection:
        for days in range(12, 0, -1):
            connection.execute(
                text(
                    "INSERT INTO operations (kind, params, status, progress, message, created_by, "
                    "created_at, finished_at, result) VALUES "
                    "('advise', :params, 'succeeded', 1, 'done', 'ada', :at, :at, :result)"
                ),
                values | {"at": NOW - timedelta(days=days)},
            )
    with person(deps, Role.ADMIN) as human:
        first = human.get("/advice").text
        (older,) = re.findall(r'href="(/advice\?cursor=[^"]*)"', first)
        newest = [
            re.findall(r"The newest, made ([^:<]*)", page)
            for page in (first, human.get(older).text)
        ]
    assert newest[0] == newest[1]
    assert "1 d" in newest[0][0] or "24 h" in newest[0][0]


def test_every_namespace_can_be_asked_for(deps: AdminDeps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workloads, "_MAX_NAMED", 1)
    with person(deps, Role.OPERATOR) as human:
        form = human.get("/advice").text
    for namespace in ("diffusion", "llm-prod"):
        assert f'<option value="{namespace}"' in form
