"""Keys and the audit chain on a real database."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, RowMapping, text
from sqlalchemy.exc import ProgrammingError
from structlog.testing import capture_logs

from services.kernel.errors import (
    ConfigurationError,
    Conflict,
    InvalidInput,
    NotFound,
    Unauthorized,
)
from services.kernel.security import keys as security
from services.kernel.security.audit import Anchor
from services.kernel.security.keys import AuditEntry, Grant, KeyVerifier, Role

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
    report = check(database)
    assert (report.n_entries, report.is_intact) == (20, True)


def test_an_end_that_was_cut_off_lacks_the_anchor(database: Engine) -> None:
    write_chain(database, 5)
    head = check(database).head
    assert head is not None
    assert head.id == 5
    with database.begin() as connection:
        connection.execute(text("ALTER TABLE audit DISABLE TRIGGER USER"))  # as the table's owner
        connection.execute(text("DELETE FROM audit WHERE id = 5"))
    assert check(database).is_intact  # the chain alone does not show it
    with database.connect() as connection:
        report = security.verify_audit(connection, head)
        assert (report.is_intact, report.is_anchored) == (False, False)
    write_chain(database, 3)
    with database.connect() as connection:
        assert security.verify_audit(connection, head).is_anchored is False
        newest = security.verify_audit(connection).head
        assert security.verify_audit(connection, newest).is_intact


def test_each_append_logs_an_anchor_that_is_committed(database: Engine) -> None:
    with capture_logs() as logs:
        write_chain(database, 3)
    anchors = [Anchor.parse(line["anchor"]) for line in logs if line["event"] == "audit_anchor"]
    assert [anchor.id for anchor in anchors] == [1, 2]
    with database.connect() as connection:
        assert all(security.verify_audit(connection, anchor).is_intact for anchor in anchors)


@pytest.mark.parametrize("change", ["UPDATE audit SET actor = 'x'", "DELETE FROM audit"])
@pytest.mark.parametrize("where", ["", " WHERE id = 1", " WHERE false"])
def test_the_database_refuses_to_change_the_log(database: Engine, change: str, where: str) -> None:
    write_chain(database, 1)
    with (
        pytest.raises(ProgrammingError, match="append-only"),
        database.begin() as connection,
    ):
        connection.execute(text(change + where))
    with (
        pytest.raises(ProgrammingError, match="append-only: TRUNCATE"),
        database.begin() as connection,
    ):
        connection.execute(text("TRUNCATE audit"))
    assert check(database).n_entries == 1


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
    assert (who.name, who.grants) == ("ci", (Grant("a", Role.OPERATOR), Grant("b", Role.OPERATOR)))
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


def test_a_rolled_back_write_leaves_no_entry(database: Engine) -> None:
    write_chain(database, 1)
    with database.connect() as connection, connection.begin() as transaction:
        security.append_audit(connection, AuditEntry(AT, "me", "x", "x/1"))
        transaction.rollback()
    write_chain(database, 1)
    report = check(database)
    assert (report.n_entries, report.is_intact) == (2, True)
