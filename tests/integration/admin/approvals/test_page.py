"""The approvals inbox: what would change, why, and a verdict."""

from __future__ import annotations

import json
import re

import pytest
from sqlalchemy import Engine, text

from services.admin.deps import AdminDeps
from services.kernel.security.keys import Role
from tests.integration.admin.approvals.conftest import lasting
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
            "would put more out of SLA than promised",
            "An approval counts until",
            "6 Jan 12:15 UTC",
            "15 min left",
            f'href="/decisions/{waiting}"',
        ):
            assert words in page, words
        assert "The list has changed" not in human.get(f"/approvals/news?seen={waiting}").text
        assert "The list has changed" in human.get("/approvals/news?seen=1").text
        assert '<a href="/approvals">1</a>' in human.get("/fleet/totals").text


def test_a_trade_between_pools_is_told_pool_by_pool(deps: AdminDeps, database: Engine) -> None:
    waiting = wait_for_approval(database)
    traded = [
        {"name": "prefill", "gpu_type": "H100", "current": 2, "desired": 3},
        {"name": "decode", "gpu_type": "L4", "current": 10, "desired": 9},
    ]
    statement = text("UPDATE decisions SET variants = CAST(:counts AS jsonb) WHERE id = :id")
    with database.begin() as connection:
        connection.execute(statement, {"counts": json.dumps(traded), "id": waiting})
    with person(deps, Role.APPROVER) as human:
        page = " ".join(re.sub(r"<[^>]+>", " ", human.get("/approvals").text).split())
    assert "prefill on H100: ▲ 2 → 3 decode on L4: ▼ 10 → 9" in page


def test_what_can_no_longer_be_approved_is_not_offered(deps: AdminDeps, database: Engine) -> None:
    """Who still has the page open is told; `expireAfter` of the GPUAutoscaler is in the spec."""
    waiting = wait_for_approval(database)
    with person(deps, Role.APPROVER) as human:
        assert f"/approvals/{waiting}/approve" in human.get("/approvals").text
        lasting(database, 300.0)
        assert "6 Jan 12:05 UTC" in human.get("/approvals").text
        deps.clock.advance(300)  # type: ignore[attr-defined]  # a FixedClock
        page = human.get("/approvals").text
        assert f"/approvals/{waiting}/approve" not in page
        assert "Nothing waits" in page
        assert '<a href="/approvals">0</a>' in human.get("/fleet/totals").text
        late = human.send(f"/approvals/{waiting}/approve")
        assert late.status_code == 409
        assert "could be approved until 2026-01-06T12:05:00Z only" in late.text
    assert audited(database) == []


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


@pytest.mark.parametrize(
    ("kind", "of"),
    [("TimeFraction", "of time "), ("DemandFraction", "of demand "), ("AnyInWindow", "of steps ")],
)
def test_what_is_estimated_is_told_in_the_unit_of_the_promise(
    deps: AdminDeps, database: Engine, kind: str, of: str
) -> None:
    waiting = wait_for_approval(database)
    _promise(database, waiting, kind, "-1 minute")
    with person(deps, Role.APPROVER) as human:
        told = f"Estimated 0.4 % {of}out of SLA with it, promised at most 1 %."
        assert told in human.get("/approvals").text
        assert human.get(f"/v1/decisions/{waiting}").json()["risk_kind"] == kind


def test_what_was_promised_before_a_change_is_not_known(deps: AdminDeps, database: Engine) -> None:
    waiting = wait_for_approval(database)
    _promise(database, waiting, "DemandFraction", "1 minute")
    with person(deps, Role.APPROVER) as human:
        told = "Estimated 0.4 % out of SLA with it, promised at most 1 %."
        assert told in human.get("/approvals").text


def _promise(database: Engine, decision: int, kind: str, later: str) -> None:
    """The decision's workload is promised by a kind, stored so much later than it was decided."""
    statement = text(
        "UPDATE workloads w SET spec = jsonb_set(w.spec, '{sla}', "
        "  coalesce(w.spec -> 'sla', '{}') || jsonb_build_object('kind', CAST(:kind AS text))), "
        "updated_at = d.decided_at + CAST(:later AS interval) "
        "FROM decisions d WHERE d.id = :id AND w.id = d.workload_id"
    )
    estimate = text(
        "UPDATE decisions SET risk_target = 0.01, risk_estimated = 0.004 WHERE id = :id"
    )
    with database.begin() as connection:
        connection.execute(statement, {"kind": kind, "later": later, "id": decision})
        connection.execute(estimate, {"id": decision})
