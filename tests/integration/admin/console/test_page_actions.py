"""Actions of pages: whose they are, and where they come from."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from services.admin.deps import AdminDeps
from services.kernel.security.keys import Role
from tests.integration.admin.console_visitor import OWN, audited, person, wait_for_approval

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]
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


@pytest.mark.slow
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
        assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/&done=ended")


def test_viewers_are_shown_no_buttons(deps: AdminDeps, database: Engine) -> None:
    wait_for_approval(database)
    with person(deps, Role.VIEWER) as human:
        for path in (OWN, "/approvals", "/models", "/backtests"):
            page = human.get(path).text
            assert page.count("<form") == 1, f"{path}: only the one to log out"
            assert 'href="/audit"' not in page
