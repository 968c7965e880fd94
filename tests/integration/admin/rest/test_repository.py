"""Stored answers of writes, and what wakes listeners."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from services.admin.deps import AdminDeps
from services.admin.rest.repository import (
    KEPT,
    claim_key,
    load_workload_id,
    notify,
    store_answer,
)
from tests.integration.admin.app_client import AppClient
from tests.integration.admin.llama_api import count, patch
from tests.integration.admin.seeded_fleet import NOW
from tests.integration.admin.seeded_rows import STEP_S

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]
PATIENCE_S = 60.0
ANSWER: dict[str, Any] = {
    "request_hash": b"0" * 32,
    "status": 201,
    "headers": {"etag": '"1"'},
    "body": {"id": 7},
}


def answer(actor: str = "ops", key: str = "k", **changes: Any) -> dict[str, Any]:
    """A stored answer."""
    return ANSWER | {"actor": actor, "key": key, "created_at": NOW} | changes


def notices(connection: Connection, timeout_s: float) -> list[str]:
    """Channels that this listening connection has heard of, at most one."""
    driver: Any = connection.connection.driver_connection
    return [notice.channel for notice in driver.notifies(timeout=timeout_s, stop_after=1)]


def test_an_old_answer_is_dropped(admin: AppClient, database: Engine, deps: AdminDeps) -> None:
    headers = {"If-Match": "*", "Idempotency-Key": "k4"}
    patch(admin, {"epsilon": 0.02}, **headers)
    deps.wall.advance(86_401)  # type: ignore[attr-defined]  # a FixedClock
    assert patch(admin, {"epsilon": 0.02}, **headers).json()["version"] == 2
    assert count(database, "idempotency_keys") == 1


def test_an_answer_is_found_under_its_actor_and_key_only(database: Engine) -> None:
    with database.begin() as connection:
        assert claim_key(connection, "ops", "k", NOW) is None
        store_answer(connection, answer())
    with database.begin() as connection:
        found = claim_key(connection, "ops", "k", NOW)
        assert found is not None
        assert dict(found) == ANSWER
        assert claim_key(connection, "ops", "other", NOW) is None
        assert claim_key(connection, "other", "k", NOW) is None


def test_an_answer_without_a_body_stays_without(database: Engine) -> None:
    with database.begin() as connection:
        store_answer(connection, answer(body=None, status=204))
        found = claim_key(connection, "ops", "k", NOW)
        assert found is not None
        assert (found["body"], found["status"]) == (None, 204)
        assert connection.execute(text("SELECT body IS NULL FROM idempotency_keys")).scalar_one()


def test_an_answer_is_kept_for_a_day(database: Engine) -> None:
    with database.begin() as connection:
        store_answer(connection, answer())
        assert claim_key(connection, "ops", "k", NOW + KEPT) is not None
        assert claim_key(connection, "x", "x", NOW + KEPT + timedelta(seconds=1)) is None
        assert claim_key(connection, "ops", "k", NOW) is None


def test_a_key_is_one_transactions_until_it_ends(database: Engine) -> None:
    with database.begin() as first:
        claim_key(first, "ops", "k", NOW)
        with database.begin() as second:
            second.execute(text("SET LOCAL lock_timeout = '50ms'"))
            claim_key(second, "ops", "other", NOW)
            with pytest.raises(OperationalError, match="lock timeout"):
                claim_key(second, "ops", "k", NOW)
            second.rollback()
    with database.begin() as third:
        third.execute(text("SET LOCAL lock_timeout = '50ms'"))
        assert claim_key(third, "ops", "k", NOW) is None


def test_listeners_are_woken_when_the_transaction_commits(database: Engine) -> None:
    with database.connect().execution_options(isolation_level="AUTOCOMMIT") as listening:
        listening.execute(text("LISTEN harmony_test"))
        with database.connect() as writing:
            notify(writing, "harmony_test")
            writing.rollback()
            notify(writing, "another")
            notify(writing, "harmony_test")
            assert notices(listening, 0) == []
            writing.commit()
        assert notices(listening, PATIENCE_S) == ["harmony_test"]


def test_a_workload_is_found_by_its_whole_name(database: Engine) -> None:
    with database.connect() as connection:
        found = load_workload_id(connection, "llm-prod", "llama-70b-chat")
        assert found is not None
        assert (found["step_s"], '"Deployment/llama-70b-chat"' in found["spec_text"]) == (
            STEP_S,
            True,
        )
        assert load_workload_id(connection, "diffusion", "llama-70b-chat") is None


def test_after_a_day_a_key_is_free_however_many_others_are_old(database: Engine) -> None:
    with database.begin() as connection:
        for n in range(150):
            store_answer(connection, answer(key=f"k{n}"))
    with database.begin() as connection:
        assert claim_key(connection, "ops", "k149", NOW + KEPT + timedelta(seconds=1)) is None
