"""Keys and the audit chain on a real database."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, RowMapping, text

from services.kernel.errors import (
    ConfigurationError,
    Conflict,
    InvalidInput,
    NotFound,
    Unauthorized,
)
from services.kernel.security import keys as security
from services.kernel.security.keys import KeyVerifier, Role, RoleGrant

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


def test_what_was_verified_before_is_recalled_until_its_key_is_refused(database: Engine) -> None:
    token, other = make(database), make(database, expires_at=AT + timedelta(hours=1))
    verifier = KeyVerifier(database, ttl_s=-1.0)
    assert verifier.recall(token, AT) is None, "never verified: a guess"
    who = verifier.verify(token, AT)
    verifier.verify(other, AT)
    assert verifier.recall(token, AT) == who
    assert verifier.recall(token[:-1] + ("a" if token[-1] != "a" else "b"), AT) is None
    with database.begin() as connection:
        security.revoke_key(connection, who.key_id, AT)
    for refused, at in ((token, AT), (other, AT + timedelta(hours=1))):
        with pytest.raises(Unauthorized):
            verifier.recall(refused, at)
        assert verifier.recall(refused, at) is None, "a guess from now on"


def test_another_hash_is_verified_anew(database: Engine) -> None:
    token = make(database)
    verifier = KeyVerifier(database, ttl_s=-1.0)
    who = verifier.verify(token, AT)
    with database.begin() as connection:
        hash_ = security._hasher().hash("another secret")
        connection.execute(text("UPDATE api_keys SET hash = :hash"), {"hash": hash_})
    assert verifier.recall(token, AT) is None
    with pytest.raises(Unauthorized):
        verifier.verify(token, AT)
    assert who.role is Role.VIEWER


def test_of_many_keys_those_used_last_are_remembered(database: Engine) -> None:
    tokens = [make(database) for _ in range(3)]
    verifier = KeyVerifier(database, max_entries=2)
    for token in tokens[:2]:
        verifier.verify(token, AT)
    assert verifier.recall(tokens[0], AT) is not None
    verifier.verify(tokens[2], AT)
    known = [verifier.recall(token, AT) is not None for token in tokens]
    assert known == [True, False, True]


def test_a_secret_is_hashed_once(database: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    token = make(database)
    verifier = KeyVerifier(database, ttl_s=-1.0)  # asked about again each time
    hashed: list[str] = []
    hashes = security._is_secret

    def counted(row: RowMapping, secret: str) -> bool:
        hashed.append(secret)
        return hashes(row, secret)

    monkeypatch.setattr(security, "_is_secret", counted)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: verifier.verify(token, AT), range(16)))
    assert len(hashed) == 1
    with pytest.raises(Unauthorized):
        verifier.verify(token[:-1] + ("a" if token[-1] != "a" else "b"), AT)
    assert len(hashed) == 2
    with database.begin() as connection:
        security.revoke_key(connection, found[0].key_id, AT)
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


def check(database: Engine) -> security.AuditReport:
    with database.connect() as connection:
        return security.verify_audit(connection)


def test_a_rotated_key_is_valid_for_the_grace_only(database: Engine) -> None:
    with database.begin() as connection:
        expires_at = AT + timedelta(days=30)
        old = security.create_key(connection, "ci", Role.OPERATOR, AT, expires_at, ["b", "a", "b"])
        later = AT + timedelta(days=29, hours=23)
        new = security.rotate_key(connection, old.key_id, AT + timedelta(days=1), 3600.0)
        with pytest.raises(Conflict, match=f"replaced by key {new.key_id}"):
            security.rotate_key(connection, old.key_id, AT + timedelta(days=1), 0.0)
    verifier = KeyVerifier(database)
    in_grace, after = AT + timedelta(days=1, minutes=59), AT + timedelta(days=1, hours=1)
    assert verifier.verify(old.token, in_grace).namespaces() == {"a", "b"}
    with pytest.raises(Unauthorized):
        verifier.verify(old.token, after)
    who = verifier.verify(new.token, after)
    assert (who.name, who.grants) == (
        "ci",
        (RoleGrant("a", Role.OPERATOR, "default"), RoleGrant("b", Role.OPERATOR, "default")),
    )
    assert who.expires_at == AT + timedelta(days=31)
    with database.begin() as connection:  # the grace never lengthens a life
        newest = security.rotate_key(connection, new.key_id, later, 10 * 86400.0)
    assert verifier.verify(new.token, AT + timedelta(days=30, hours=23)).key_id == new.key_id
    with pytest.raises(Unauthorized):
        KeyVerifier(database).verify(new.token, AT + timedelta(days=31))
    assert verifier.verify(newest.token, AT + timedelta(days=31)).key_id == newest.key_id


def test_what_cannot_be_rotated(database: Engine) -> None:
    with database.begin() as connection:
        made = security.create_key(connection, "x", Role.VIEWER, AT, AT + timedelta(hours=1))
        gone = security.create_key(connection, "y", Role.VIEWER, AT)
        security.revoke_key(connection, gone.key_id, AT)
        for key_id, at in ((made.key_id, AT + timedelta(hours=1)), (gone.key_id, AT), (99, AT)):
            with pytest.raises(NotFound, match=f"key {key_id}"):
                security.rotate_key(connection, key_id, at, 60.0)


@pytest.mark.parametrize("names", [[], ["*"], ["A"], ["a b"], ["-a"], ["a" * 64], ["a\n"]])
def test_a_namespace_that_cannot_be(database: Engine, names: list[str]) -> None:
    with database.begin() as connection, pytest.raises(InvalidInput, match="namespaces"):
        security.create_key(connection, "x", Role.VIEWER, AT, None, names)


def test_a_scoped_admin_is_no_first_admin(database: Engine) -> None:
    with database.begin() as connection:
        security.create_key(connection, "team", Role.ADMIN, AT, None, ["team-a"])
    assert security.ensure_first_key(database, None, AT) is not None


def test_a_file_with_another_secret_is_refused(database: Engine, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("hk_site1_" + "k" * 43)
    security.ensure_first_key(database, file, AT)
    file.write_text("hk_site1_" + "l" * 43)
    with pytest.raises(ConfigurationError, match="a new key needs a new prefix"):
        security.ensure_first_key(database, file, AT)
    assert check(database).n_entries == 1
