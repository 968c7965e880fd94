"""Keys and the audit chain on a real database."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from services.kernel import security
from services.kernel.errors import ConfigurationError, InvalidInput, Unauthorized
from services.kernel.security import AuditEntry, KeyVerifier, Role

AT = datetime(2026, 1, 5, tzinfo=UTC)
pytestmark = pytest.mark.integration


def make(database: Engine, role: Role = Role.VIEWER, expires_at: datetime | None = None) -> str:
    with database.begin() as connection:
        return security.create_key(connection, "test", role, AT, expires_at).token


def test_a_key_is_verified_then_remembered_then_forgotten(database: Engine) -> None:
    token = make(database, Role.OPERATOR)
    verifier = KeyVerifier(database)
    who = verifier.verify(token, AT)
    assert who.role is Role.OPERATOR
    with database.begin() as connection:
        security.revoke_key(connection, who.key_id, AT)
    assert verifier.verify(token, AT) == who  # remembered
    verifier.forget(who.key_id)
    with pytest.raises(Unauthorized):
        verifier.verify(token, AT)
    with pytest.raises(Unauthorized):
        verifier.verify_prefix(who.prefix, AT)


def test_memory_ends_by_itself(database: Engine) -> None:
    token = make(database)
    verifier = KeyVerifier(database, ttl_s=-1.0)
    who = verifier.verify(token, AT)
    with database.begin() as connection:
        security.revoke_key(connection, who.key_id, AT)
    with pytest.raises(Unauthorized):
        verifier.verify(token, AT)


def test_a_remembered_key_still_expires(database: Engine) -> None:
    token = make(database, expires_at=AT + timedelta(hours=1))
    verifier = KeyVerifier(database)
    assert verifier.verify(token, AT + timedelta(minutes=59)).prefix == token.split("_")[1]
    for check in (
        lambda at: verifier.verify(token, at),
        lambda at: verifier.verify_prefix(token.split("_")[1], at),
    ):
        with pytest.raises(Unauthorized):
            check(AT + timedelta(hours=1))
    with pytest.raises(InvalidInput, match="expires_at"):
        make(database, expires_at=AT)


def test_the_database_holds_no_secret(database: Engine) -> None:
    token = make(database)
    with database.connect() as connection:
        row = connection.execute(text("SELECT * FROM api_keys")).mappings().one()
    assert token.split("_", 2)[2] not in str(dict(row))
    assert row["hash"].startswith("$argon2id$")


def test_the_first_key_is_made_once(database: Engine) -> None:
    first = security.ensure_first_key(database, None, AT)
    assert first is not None
    assert KeyVerifier(database).verify(first, AT).role is Role.ADMIN
    assert security.ensure_first_key(database, None, AT) is None


def test_the_first_key_may_come_from_a_file(database: Engine, tmp_path: Path) -> None:
    token = "hk_site1_" + "k" * 43
    file = tmp_path / "key"
    file.write_text(token + "\n")
    assert security.ensure_first_key(database, file, AT) is None
    assert security.ensure_first_key(database, file, AT) is None
    assert KeyVerifier(database).verify(token, AT).role is Role.ADMIN
    file.write_text("secret")
    with pytest.raises(ConfigurationError, match="hk_<prefix>_<secret>"):
        security.ensure_first_key(database, file, AT)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        security.ensure_first_key(database, tmp_path / "none", AT)


def write_chain(database: Engine, n: int = 5) -> None:
    for k in range(n):
        with database.begin() as connection:
            after = {"n": k, "ratio": 0.1 * k, "big": 1e22, "text": "ä\u2028", "list": [1.0, None]}
            security.append_audit(
                connection,
                AuditEntry(AT + timedelta(seconds=k), "me", "x.change", f"x/{k}", None, after),
            )


def check(database: Engine) -> security.AuditReport:
    with database.connect() as connection:
        return security.verify_audit(connection)


@pytest.mark.parametrize(
    ("tampering", "broken"),
    [
        ("UPDATE audit SET actor = 'you' WHERE id = 3", 3),
        ("UPDATE audit SET after = jsonb_set(after, '{n}', '7') WHERE id = 2", 2),
        ("UPDATE audit SET at = at + interval '1 microsecond' WHERE id = 1", 1),
        ("DELETE FROM audit WHERE id = 3", 4),
        ("UPDATE audit SET hash = previous_hash WHERE id = 4", 4),
        (
            "INSERT INTO audit (at, actor, action, object, previous_hash, hash) "
            "SELECT at, actor, action, object, previous_hash, hash FROM audit WHERE id = 2",
            6,
        ),
    ],
)
def test_tampering_is_found(database: Engine, tampering: str, broken: int) -> None:
    write_chain(database)
    assert check(database).is_intact
    with database.begin() as connection:
        connection.execute(text("ALTER TABLE audit DISABLE TRIGGER USER"))  # as the table's owner
        connection.execute(text(tampering))
    report = check(database)
    assert not report.is_intact
    assert report.first_broken_id == broken


def test_an_empty_chain_is_intact(database: Engine) -> None:
    assert check(database) == security.AuditReport(0, None)


def test_writers_at_once_keep_one_chain(database: Engine) -> None:
    threads = [threading.Thread(target=write_chain, args=(database, 5)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert check(database) == security.AuditReport(20, None)


def test_a_rolled_back_write_leaves_no_entry(database: Engine) -> None:
    write_chain(database, 1)
    with database.connect() as connection, connection.begin() as transaction:
        security.append_audit(connection, AuditEntry(AT, "me", "x", "x/1"))
        transaction.rollback()
    write_chain(database, 1)
    assert check(database) == security.AuditReport(2, None)
