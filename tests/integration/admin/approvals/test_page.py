"""The approvals inbox: what would change, why, and a verdict."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine

from services.admin.approvals.page import EXPIRE_AFTER
from services.admin.deps import AdminDeps
from services.kernel.security.keys import Role
from services.operator.resource.spec import Approval
from tests.integration.admin.console_visitor import audited, person, wait_for_approval

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
