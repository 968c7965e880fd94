"""The audit log's page."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import Engine

from services.admin.deps import AdminDeps
from services.kernel.domain.controls import Controls, PauseControl
from services.kernel.security.keys import Role
from services.operator.stored.controls_audit import ClearedControls, audit_cleared
from tests.integration.admin.console_visitor import OWN, person

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]


def test_the_audit_log_is_filtered_paged_and_checked(deps: AdminDeps, database: Engine) -> None:
    with person(deps, Role.ADMIN) as human:
        human.send(f"{OWN}/pause", {"direction": "ScaleIn", "lasting": "3600"})
        human.send(f"{OWN}/resume")
        page = human.get("/audit").text
        for words in ("pause.set", "pause.lift", "session.open", "pause.direction", "ScaleIn"):
            assert words in page, words
        some = human.get("/audit?action=pause.set&object=workload/llm").text
        assert "pause.lift" not in some.split("<tbody>")[1]
        assert "pause.set" in some.split("<tbody>")[1]
        assert "No entry matches" in human.get("/audit?to_at=2020-01-01T00:00").text
        assert human.get("/audit?from_at=soon").status_code == 422
        unknown = human.get("/audit?action=pause.sett")
        assert unknown.status_code == 422
        assert "must be one of" in unknown.text
        assert "The chain is intact" in human.get("/audit?check=true").text
        for _ in range(50):
            human.send(f"{OWN}/resume")
        first = human.get("/audit?action=pause.lift").text
        older = re.search(r'href="(/audit\?[^"]*cursor=[^"]+)"', first)
        assert older is not None
        rest = human.get(older.group(1).replace("&amp;", "&")).text.split("<tbody>")[1]
        assert rest.count("pause.lift</a>") == 1
        assert "pause.set" not in rest
    with person(deps, Role.ADMIN, ["llm-prod"]) as human:
        assert human.get("/audit").status_code == 403
        assert 'href="/audit"' not in human.get("/").text


def test_what_the_operator_emptied_is_shown_field_by_field(
    deps: AdminDeps, database: Engine
) -> None:
    body = Controls(pause=PauseControl(direction="ScaleIn", reason="load test")).model_dump_json()
    cleared = ClearedControls("llm-prod", "llama-70b-chat", body, "uid-a", "uid-b")
    with database.begin() as connection:
        audit_cleared(connection, [cleared], "default")
    with person(deps, Role.ADMIN) as human:
        page = human.get("/audit?action=controls.clear&actor=operator").text.split("<tbody>")[1]
    for words in (
        "workload/llm-prod/llama-70b-chat",
        "<code>object_uid</code> <del>uid-a</del> <ins>uid-b</ins>",
        "<code>pause.direction</code> <del>ScaleIn</del>",
        "<code>pause.reason</code> <del>load test</del>",
        "<code>reason</code> <ins>another GPUAutoscaler of this name is there</ins>",
    ):
        assert words in page, words
