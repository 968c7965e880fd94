"""Writes that are sent twice."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from services.admin.deps import AdminDeps
from services.kernel.security.keys import Role, create_key
from tests.integration.admin.app_client import AppClient
from tests.integration.admin.llama_api import count, patch
from tests.integration.admin.seeded_fleet import NOW

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]


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
