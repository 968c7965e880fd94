"""Operations that may be seen."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from services.kernel.db.operations import insert_operation
from services.kernel.security.keys import Role, create_key
from tests.integration.admin.app_client import AppClient
from tests.integration.admin.seeded_fleet import NOW

pytestmark = pytest.mark.integration


def test_operations_of_other_namespaces_are_not_seen(
    admin: AppClient, database: Engine, tiny: str
) -> None:
    asked = admin.post("/v1/backtests", json={"workloads": [tiny]}).json()["id"]
    with database.begin() as connection:
        tokens = {
            name: create_key(connection, name, Role.OPERATOR, NOW, None, [name]).token
            for name in ("prod", "other")
        }
    own, foreign = ({"Authorization": f"Bearer {tokens[n]}"} for n in ("prod", "other"))
    assert len(admin.get("/v1/operations", headers=own).json()["items"]) == 1
    assert admin.get("/v1/operations", headers=foreign).json()["items"] == []
    for method, path in (("GET", ""), ("POST", "/cancel")):
        answer = admin.request(method, f"/v1/backtests/{asked}{path}", json={}, headers=foreign)
        assert answer.status_code == 404
    refused = admin.post("/v1/backtests", json={"workloads": [tiny]}, headers=foreign)
    assert refused.status_code == 404


def test_an_operation_of_a_later_release_keeps_no_other_from_being_shown(
    admin: AppClient, database: Engine, tiny: str
) -> None:
    """As after a roll-back, for as long as finished work is kept."""
    asked = admin.post("/v1/backtests", json={"workloads": [tiny]}).json()["id"]
    with database.begin() as connection:
        insert_operation(connection, "of_a_later_release", {"workloads": [tiny]}, "ann", NOW)
    answer = admin.get("/v1/operations")
    assert answer.status_code == 200
    assert [item["id"] for item in answer.json()["items"]] == [asked]
