"""Keys and the audit log as the database keeps them: the log only grows, a prefix is one key's."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, insert, select, text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from services.kernel.db.schema_access import api_keys, audit

AT = datetime(2026, 1, 5, tzinfo=UTC)
pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    "change", ["UPDATE audit SET actor = 'you'", "DELETE FROM audit", "TRUNCATE audit"]
)
def test_the_audit_log_only_grows(database: Engine, change: str) -> None:
    add = "INSERT INTO audit (at, actor, action, object, hash) VALUES (:at, 'me', 'x', 'y', :hash)"
    with database.begin() as connection:
        connection.execute(text(add), {"at": AT, "hash": b"h"})
    with (
        pytest.raises(ProgrammingError, match="the audit log is append-only"),
        database.begin() as connection,
    ):
        connection.execute(text(change))
    with database.connect() as connection:
        assert connection.execute(text("SELECT actor FROM audit")).scalars().all() == ["me"]


def test_entries_of_the_log_are_numbered_as_they_come(database: Engine) -> None:
    entry = {"at": AT, "actor": "me", "action": "x", "object": "y", "hash": b"h"}
    with database.begin() as connection:
        connection.execute(insert(audit), entry)
        connection.execute(insert(audit), entry | {"before": {"n": 1}, "after": {"n": 2}})
        found = connection.execute(select(audit).order_by(audit.c.id)).all()
    assert [row.before for row in found] == [None, {"n": 1}]
    assert found[0].id < found[1].id


def test_a_prefix_names_one_key(database: Engine) -> None:
    key = {"name": "a", "prefix": "hk_1", "hash": "h", "role": "viewer", "created_at": AT}
    with database.begin() as connection:
        connection.execute(insert(api_keys), key)
        found = connection.execute(select(api_keys)).one()
    assert (found.namespaces, found.expires_at, found.revoked_at) == (None, None, None)
    with pytest.raises(IntegrityError, match="prefix"), database.begin() as connection:
        connection.execute(insert(api_keys), key | {"name": "b"})
