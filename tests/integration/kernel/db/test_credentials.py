"""Rows of API keys and of the audit chain in a real database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import IntegrityError, OperationalError

from services.kernel.db import credentials

pytestmark = pytest.mark.integration
NOW = datetime(2026, 1, 5, tzinfo=UTC)
SOON = NOW + timedelta(hours=1)


def add_key(connection: Connection, prefix: str, **changes: Any) -> int:
    """Store a viewer's key of the whole fleet that never ends."""
    row = {"name": "ops", "prefix": prefix, "hash": "h", "role": "viewer", "created_at": NOW}
    return credentials.insert_key(connection, row | changes)


def add_entry(connection: Connection, action: str) -> int:
    """Append to the audit log."""
    row = {"at": NOW, "actor": "ops", "action": action, "object": "x", "hash": action.encode()}
    return credentials.insert_audit(connection, row)


def test_a_key_is_found_by_its_prefix(database: Engine) -> None:
    with database.begin() as connection:
        key_id = add_key(connection, "aa", namespaces=["prod"], expires_at=SOON)
        found = credentials.load_key(connection, "aa")
        assert found is not None
        assert (found["id"], found["name"], found["role"]) == (key_id, "ops", "viewer")
        assert (found["namespaces"], found["expires_at"]) == (["prod"], SOON)
        assert (found["created_at"], found["revoked_at"], found["replaced_by"]) == (NOW, None, None)
        assert credentials.load_key(connection, "a") is None


def test_no_two_keys_have_one_prefix(database: Engine) -> None:
    with database.begin() as connection:
        add_key(connection, "aa")
    with pytest.raises(IntegrityError), database.begin() as connection:
        add_key(connection, "aa")


def test_keys_are_listed_newest_first_in_pages(database: Engine) -> None:
    with database.begin() as connection:
        ids = [add_key(connection, prefix) for prefix in ("aa", "bb", "cc")]

        def listed(**bounds: Any) -> list[int]:
            return [row["id"] for row in credentials.load_keys(connection, **bounds)]

        assert listed() == ids[::-1]
        assert listed(limit=2) == [ids[2], ids[1]]
        assert listed(after=ids[1]) == [ids[0]]
        assert listed(after=ids[0]) == []


def test_who_sees_some_namespaces_sees_the_keys_of_nothing_else(database: Engine) -> None:
    with database.begin() as connection:
        for prefix, names in (("aa", None), ("bb", ["a"]), ("cc", ["a", "b"]), ("dd", ["c"])):
            add_key(connection, prefix, namespaces=names)

        def seen(*within: str) -> set[str]:
            return {
                row["prefix"] for row in credentials.load_keys(connection, {None: list(within)})
            }

        assert seen("a") == {"bb"}
        assert seen("a", "b") == {"bb", "cc"}
        assert seen("x") == set()


def test_a_key_is_revoked_once(database: Engine) -> None:
    with database.begin() as connection:
        key_id, other = add_key(connection, "aa"), add_key(connection, "bb")
        revoked = credentials.set_key_revoked(connection, key_id, NOW)
        assert revoked is not None
        assert (revoked["id"], revoked["revoked_at"]) == (key_id, NOW)
        assert credentials.set_key_revoked(connection, key_id, SOON) is None
        assert credentials.set_key_revoked(connection, other + 1, NOW) is None
        times = [row["revoked_at"] for row in credentials.load_keys(connection)]
        assert times == [None, NOW]


def test_a_key_that_is_replaced_ends_and_no_other_does(database: Engine) -> None:
    with database.begin() as connection:
        old, new = add_key(connection, "aa"), add_key(connection, "bb")
        credentials.set_key_replaced(connection, old, new, SOON)
        rows = {row["id"]: row for row in credentials.load_keys(connection)}
        assert (rows[old]["replaced_by"], rows[old]["expires_at"]) == (new, SOON)
        assert (rows[new]["replaced_by"], rows[new]["expires_at"]) == (None, None)


def test_a_locked_key_waits_for_the_transaction(database: Engine) -> None:
    with database.begin() as first:
        add_key(first, "aa")
    with database.begin() as first, database.begin() as second:
        held = credentials.load_key(first, "aa")
        assert held is not None
        assert credentials.lock_key(first, held["id"]) == held
        assert credentials.lock_key(first, held["id"] + 1) is None
        second.execute(text("SET LOCAL lock_timeout = '50ms'"))
        with pytest.raises(OperationalError, match="lock timeout"):
            credentials.set_key_revoked(second, held["id"], NOW)
        second.rollback()


@pytest.mark.parametrize(
    ("changes", "is_in_force"),
    [
        ({}, True),
        ({"expires_at": SOON}, True),
        ({"expires_at": NOW}, False),
        ({"revoked_at": NOW}, False),
        ({"role": "viewer"}, False),
        ({"namespaces": ["prod"]}, False),
    ],
)
def test_a_key_of_the_fleet_could_log_in(
    database: Engine, changes: dict[str, Any], is_in_force: bool
) -> None:
    with database.begin() as connection:
        assert credentials.has_key_in_force(connection, "admin", NOW) is False
        add_key(connection, "aa", **({"role": "admin"} | changes))
        assert credentials.has_key_in_force(connection, "admin", NOW) is is_in_force


def test_the_audit_log_is_read_from_its_beginning_to_its_head(database: Engine) -> None:
    with database.begin() as connection:
        assert credentials.load_audit_head(connection) == 0
        assert credentials.lock_audit_tail(connection) is None
        assert list(credentials.iterate_audit(connection)) == []
        ids = [add_entry(connection, action) for action in ("first", "second", "third")]
        assert credentials.load_audit_head(connection) == ids[-1]
        tail = credentials.lock_audit_tail(connection)
        assert tail is not None
        assert (tail["id"], bytes(tail["hash"])) == (ids[-1], b"third")
        entries = list(credentials.iterate_audit(connection))
        assert [entry["id"] for entry in entries] == ids
        assert [entry["action"] for entry in entries] == ["first", "second", "third"]


def test_one_transaction_at_a_time_appends_to_the_audit_log(database: Engine) -> None:
    with database.begin() as first, database.begin() as second:
        credentials.lock_audit_tail(first)
        second.execute(text("SET LOCAL lock_timeout = '50ms'"))
        with pytest.raises(OperationalError, match="lock timeout"):
            credentials.lock_audit_tail(second)
        second.rollback()
