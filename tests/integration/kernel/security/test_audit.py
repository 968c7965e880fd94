"""The audit chain: tampering shows, and the database refuses it."""

from __future__ import annotations

import re
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import ProgrammingError
from structlog.testing import capture_logs

import services
from services.kernel.jobs import OPERATION_JOBS
from services.kernel.security import keys as security
from services.kernel.security.audit import ACTIONS, Anchor
from services.kernel.security.keys import AuditEntry

AT = datetime(2026, 1, 5, tzinfo=UTC)
pytestmark = pytest.mark.integration


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


@pytest.mark.parametrize("price", [1e23, 1.2345678901234567e19, 1.7e308, 5e-324, -0.0])
def test_a_number_of_any_size_breaks_no_chain(database: Engine, price: float) -> None:
    with database.begin() as connection:
        entry = AuditEntry(AT, "me", "policy.update", "workload/a/b", None, {"price": price})
        security.append_audit(connection, entry)
    write_chain(database, 1)
    assert check(database).is_intact


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


def test_a_rolled_back_write_leaves_no_entry(database: Engine) -> None:
    write_chain(database, 1)
    with database.connect() as connection, connection.begin() as transaction:
        security.append_audit(connection, AuditEntry(AT, "me", "x", "x/1"))
        transaction.rollback()
    write_chain(database, 1)
    report = check(database)
    assert (report.n_entries, report.is_intact) == (2, True)


def test_every_action_that_is_written_is_known() -> None:
    """The list is what a filter is held against: one that it lacks could not be asked for."""
    sources = [path.read_text() for path in (Path(services.__path__[0])).rglob("*.py")]
    about = {action.partition(".")[0] for action in ACTIONS}
    named = re.compile(rf'"((?:{"|".join(about)})\.[a-z_]+)"')
    written = {
        action
        for source in sources
        if "audit" in source.lower() or "_Ask(" in source
        for action in named.findall(source)
    }
    composed = {"decision.approve", "decision.reject"}
    composed |= {f"{kind}.{verb}" for kind in OPERATION_JOBS for verb in ("submit", "cancel")}
    assert written - {"model.safetensors"} | composed == ACTIONS
