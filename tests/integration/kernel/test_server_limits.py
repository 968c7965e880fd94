"""What the server ends by itself: sessions of who is lost or stands still, and endless waits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError, OperationalError

from services.kernel import telemetry
from services.kernel.db import session
from services.kernel.db.migrations import head_revision, migrate
from services.kernel.db.session import dispose_engines, make_engine, unit_of_work
from services.kernel.jobs import Job, RecordingSender
from services.kernel.server_errors import is_of_the_server
from services.kernel.server_limits import IDLE_S, LOCK_S
from services.kernel.task import job_task

pytestmark = pytest.mark.integration
LOCK = text("SELECT pg_advisory_xact_lock(1)")


Shorten = Callable[[int], Engine]


@pytest.fixture
def shorten(database: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shorten]:
    """Makes an engine with one of the limits cut to a moment."""
    url = database.url.render_as_string(hide_password=False)

    def make(limit_s: int) -> Engine:
        options = str(session.SESSION["options"]).replace(f"={limit_s}s", "=50ms")
        monkeypatch.setattr(session, "SESSION", {**session.SESSION, "options": options})
        return make_engine(url, n_kept=1, cluster="default")

    yield make
    dispose_engines(url)


@pytest.fixture
def hasty(shorten: Shorten) -> Engine:
    """An engine of which the server ends at once whose transactions stand still."""
    return shorten(IDLE_S)


def test_each_session_asks_the_server_to_give_up_whom_it_does_not_hear(database: Engine) -> None:
    """Over a socket of the machine itself there is nothing to probe: what was asked for counts."""
    with database.connect() as connection:
        driver: Any = connection.connection.driver_connection
        asked = dict(
            one.removeprefix("-c ").split("=")
            for one in driver.info.get_parameters()["options"].split(" -c ")
        )
        for name in ("idle_in_transaction_session_timeout", "lock_timeout"):
            seconds = text("SELECT extract(epoch FROM current_setting(:name)::interval)")
            limit_s = int(connection.execute(seconds, {"name": name}).scalar_one())
            assert f"{limit_s}s" == asked[name]
    probes_s = int(asked["tcp_keepalives_interval"]) * int(asked["tcp_keepalives_count"])
    assert int(asked["tcp_keepalives_idle"]) + probes_s <= 60
    assert int(asked["tcp_user_timeout"]) <= 60_000
    assert 60 < IDLE_S < LOCK_S  # who waits outlives whom the server ends


def wait_for_lock(database: Engine) -> None:
    """Wait until whoever holds the lock is no more."""
    with database.begin() as other:
        other.execute(LOCK)


def stand_still(
    engine: Engine, database: Engine, sender: RecordingSender | None = None, *, goes_on: bool = True
) -> None:
    """Hold the lock within a transaction and do nothing until somebody else has it."""
    with unit_of_work(engine, sender) as work:
        work.send_after_commit(Job("forecast.forecast_shard", {"shard": 0}))
        work.connection.execute(LOCK)
        wait_for_lock(database)
        if goes_on:
            work.connection.execute(text("SELECT 1"))


@pytest.mark.parametrize("goes_on", [False, True])
def test_a_transaction_that_stands_still_is_ended_and_its_process_goes_on(
    database: Engine, hasty: Engine, *, goes_on: bool
) -> None:
    sender = RecordingSender()
    with pytest.raises(DBAPIError, match=r"idle-in-transaction|closed|lost") as caught:
        stand_still(hasty, database, sender, goes_on=goes_on)
    assert is_of_the_server(caught.value)
    assert sender.sent == []
    with hasty.connect() as connection:  # by a session of its own, that the pool has made anew
        assert connection.execute(text("SELECT 1")).scalar_one() == 1


def test_a_job_that_stood_still_is_told_as_any_that_failed(
    database: Engine, hasty: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    @job_task("decide.stood_still")
    def task() -> None:
        stand_still(hasty, database)

    with pytest.raises(DBAPIError):
        task()
    (failed,) = [line for line in capsys.readouterr().out.splitlines() if "job_failed" in line]
    assert "idle-in-transaction timeout" in failed
    labels = {"job": "decide.stood_still", "error": "InternalError"}
    assert telemetry.REGISTRY.get_sample_value("harmony_job_failures_total", labels) == 1


def test_a_wait_for_a_lock_ends_with_an_error_that_says_so(
    database: Engine, shorten: Shorten
) -> None:
    hasty = shorten(LOCK_S)
    with database.begin() as holder:
        holder.execute(LOCK)
        with pytest.raises(OperationalError, match="lock timeout"), hasty.begin() as connection:
            connection.execute(LOCK)


def test_a_migration_waits_for_another_however_long_that_takes(
    database: Engine, shorten: Shorten
) -> None:
    hasty = shorten(LOCK_S)
    waits = text(
        "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted "
        "AND l.objid = 7012 AND clock_timestamp() > a.query_start + interval '200 ms'"
    )
    found: list[str] = []
    other = threading.Thread(target=lambda: found.append(migrate(hasty)))
    with database.connect().execution_options(isolation_level="AUTOCOMMIT") as first:
        first.execute(text("SELECT pg_advisory_lock(7012)"))
        other.start()
        while other.is_alive() and not first.execute(waits).scalar_one():
            pass
        first.execute(text("SELECT pg_advisory_unlock(7012)"))
    other.join(60)
    assert found == [head_revision()]
    with hasty.connect() as connection:
        assert connection.execute(text("SHOW lock_timeout")).scalar_one() == "50ms"
