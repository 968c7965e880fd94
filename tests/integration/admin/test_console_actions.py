"""What people change in the console: approvals, pauses; who may, what is audited, what is said."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine

from services.admin.approvals.page import EXPIRE_AFTER
from services.admin.decisions.service import AdminDeps
from services.kernel.security.keys import Role
from services.operator.resource.spec import Approval
from tests.integration.admin.console_visitor import OWN, audited, person, wait_for_approval

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]


def test_the_inbox_says_what_would_change_why_what_it_costs_and_until_when(
    deps: AdminDeps, database: Engine
) -> None:
    with person(deps, Role.APPROVER) as human:
        waiting = wait_for_approval(database)
        page = human.get("/approvals").text
        for words in (
            "diffusion/sdxl-turbo",
            "+$3.20 per hour",
            "would put more time out of SLA than promised",
            "An approval counts until",
            "6 Jan 12:15 UTC",
            "15 min left",
            f'href="/decisions/{waiting}"',
        ):
            assert words in page, words
        assert "The list has changed" not in human.get(f"/approvals/news?seen={waiting}").text
        assert "The list has changed" in human.get("/approvals/news?seen=1").text
        assert '<a href="/approvals">1</a>' in human.get("/fleet").text


def test_the_expiry_shown_is_the_operators_default() -> None:
    assert timedelta(seconds=Approval().expire_after_s) == EXPIRE_AFTER


def test_a_decision_is_approved_with_a_comment(deps: AdminDeps, database: Engine) -> None:
    waiting = wait_for_approval(database)
    with person(deps, Role.APPROVER, ["diffusion"]) as human:
        answer = human.send(f"/approvals/{waiting}/approve", {"reason": "campaign"})
        assert (answer.status_code, answer.headers["location"]) == (
            303,
            "/approvals?done=approved",
        )
        after = human.get(answer.headers["location"]).text
        assert "The operator applies this decision" in after
        assert "Nothing waits" in after
        verdict = human.get(f"/v1/decisions/{waiting}/verdict").json()
        assert (verdict["verdict"], verdict["reason"]) == ("approved", "campaign")
        again = human.send(f"/approvals/{waiting}/reject", {"reason": "no"})
        assert again.headers["location"] == "/approvals?done=rejected"
        actor = verdict["actor"]
    assert [(who, action) for who, action, _ in audited(database)] == [
        (actor, "decision.approve"),
        (actor, "decision.reject"),
    ]


def test_what_cannot_be_answered_is_said_on_the_page(deps: AdminDeps, database: Engine) -> None:
    waiting = wait_for_approval(database)
    with person(deps, Role.ADMIN) as human:
        answer = human.send("/approvals/100047/approve")
        assert answer.status_code == 409
        assert 'role="alert"' in answer.text
        assert "is in mode Auto" in answer.text
        assert "sdxl-turbo" in answer.text, "the inbox is still there"
        long = human.send(f"/approvals/{waiting}/approve", {"reason": "x" * 501})
        assert (long.status_code, "reason" in long.text) == (422, True)
        assert human.send(f"/approvals/{waiting}/burn").status_code == 422
    assert audited(database) == []


def test_a_workload_is_paused_until_a_time_and_resumed(deps: AdminDeps, database: Engine) -> None:
    with person(deps, Role.OPERATOR, ["llm-prod"]) as human:
        form = {"direction": "ScaleIn", "lasting": "3600", "reason": "load <test>"}
        answer = human.send(f"{OWN}/pause", form)
        assert (answer.status_code, answer.headers["location"]) == (303, f"{OWN}?done=paused")
        page = human.get(answer.headers["location"]).text
        for words in (
            "Scale-in is held: it may grow, not shrink",
            "until 6 Jan 13:00 UTC",
            "load &lt;test&gt;",
            "Not in force yet",
        ):
            assert words in page, words
        until = human.send(
            f"{OWN}/pause",
            {"direction": "Both", "lasting": "until", "until_at": "2026-01-07T08:30"},
        )
        assert until.status_code == 303
        assert "until 7 Jan 08:30 UTC" in human.get(OWN).text
        assert human.send(f"{OWN}/pause", {"direction": "Both", "lasting": ""}).status_code == 303
        assert "until resumed" in human.get(OWN).text
        assert human.send(f"{OWN}/resume").headers["location"] == f"{OWN}?done=resumed"
        assert "Scaling is paused" not in human.get(OWN).text
    assert [action for _, action, _ in audited(database)] == ["pause.set"] * 3 + ["pause.lift"]


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"lasting": "until", "until_at": "soon"}, "must be a time in UTC"),
        ({"lasting": "until", "until_at": "2026-01-05T08:30"}, "must be after now"),
        ({"lasting": "-5"}, "must be a number of seconds"),
        ({"lasting": "9" * 30}, "must be a number of seconds"),
        ({"direction": "Sideways"}, "direction"),
    ],
)
def test_a_pause_that_makes_no_sense_stays_on_the_page(
    deps: AdminDeps, database: Engine, form: dict[str, str], words: str
) -> None:
    with person(deps, Role.OPERATOR) as human:
        answer = human.send(f"{OWN}/pause", form)
        assert answer.status_code == 422
        assert words in answer.text
        assert "Forecast against demand" in answer.text
    assert audited(database) == []


ACTIONS = [
    (f"{OWN}/pause", Role.OPERATOR, "llm-prod"),
    (f"{OWN}/resume", Role.OPERATOR, "llm-prod"),
    ("/approvals/{waiting}/approve", Role.APPROVER, "diffusion"),
    ("/approvals/{waiting}/reject", Role.APPROVER, "diffusion"),
    (f"{OWN}/policy", Role.OPERATOR, "llm-prod"),
    (f"{OWN}/schedules", Role.OPERATOR, "llm-prod"),
    (f"{OWN}/schedules/remove", Role.OPERATOR, "llm-prod"),
    (f"{OWN}/schedules/reset", Role.OPERATOR, "llm-prod"),
    ("/freezes/1/lift", Role.OPERATOR, "llm-prod"),
    ("/models/train", Role.OPERATOR, None),
    ("/models/roll-back", Role.ADMIN, None),
    ("/models/harmony-flow-3/shadow", Role.ADMIN, None),
    ("/models/harmony-flow-3/promote", Role.ADMIN, None),
]


def test_every_action_needs_the_role_of_its_rest_route(deps: AdminDeps, database: Engine) -> None:
    waiting = wait_for_approval(database)
    actions = [(path.format(waiting=waiting), role, there) for path, role, there in ACTIONS]
    for lower in (Role.VIEWER, Role.OPERATOR, Role.APPROVER):
        with person(deps, lower) as human:
            for target, role, _ in actions:
                if not lower.includes(role):
                    assert human.send(target).status_code == 403, (target, lower)
    with person(deps, Role.ADMIN, ["elsewhere"]) as human:
        for target, _, there in actions:
            expected = {403, 404} if there else {403}
            assert human.send(target).status_code in expected, target
    with person(deps, Role.ADMIN, ["llm-prod", "diffusion"]) as human:
        for target in (target for target, _, there in actions if there is None):
            assert human.send(target).status_code == 403, target
    assert audited(database) == []


def test_another_sites_form_changes_nothing(deps: AdminDeps, database: Engine) -> None:
    waiting = wait_for_approval(database)
    evil = {"Origin": "http://evil.test"}
    with person(deps, Role.ADMIN) as human:
        for path, _, _ in ACTIONS:
            target = path.format(waiting=waiting)
            assert human.post(target, headers=evil).status_code == 403, target
            assert human.post(target).status_code == 403, target
    assert audited(database) == []


def test_a_form_sent_after_the_sessions_end_leads_to_the_login(deps: AdminDeps) -> None:
    with person(deps, Role.ADMIN) as human:
        human.cookies.clear()
        answer = human.send(f"{OWN}/pause", {"lasting": "3600"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/")


def test_viewers_are_shown_no_buttons(deps: AdminDeps, database: Engine) -> None:
    wait_for_approval(database)
    with person(deps, Role.VIEWER) as human:
        for path in (OWN, "/approvals", "/models", "/backtests"):
            page = human.get(path).text
            assert page.count("<form") == 1, f"{path}: only the one to log out"
            assert 'href="/audit"' not in page
