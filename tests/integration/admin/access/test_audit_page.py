"""The audit log's page."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import Engine

from services.admin.deps import AdminDeps
from services.kernel.security.keys import Role
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
