"""The page of budgets, classes and freezes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.admin.deps import AdminDeps
from services.kernel.security.keys import Role
from tests.integration.admin.app_client import BASE_URL
from tests.integration.admin.console_visitor import person
from tests.integration.admin.seeded_fleet import NOW

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]


def test_budgets_classes_and_freezes(deps: AdminDeps) -> None:
    freeze = {"until_at": (NOW + timedelta(days=2)).isoformat(), "reason": "holidays"}
    with person(deps, Role.OPERATOR) as human:
        made = human.post("/v1/freezes", json=freeze, headers={"Origin": BASE_URL})
        assert made.status_code == 201, made.text
        page = human.get("/limits").text
    for words in (
        "GPUBudget/hopper",
        "64",
        "silver",
        "Promised at most",
        "the whole fleet",
        "no changes",
    ):
        assert words in page, words
