"""The embedded Postgres comes back after any end, and its folder is whole or not there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from sqlalchemy import text

from services.kernel.db.session import check_reachable, make_engine
from services.kernel.errors import Unavailable
from services.platform.embedded_postgres import _is_stuck, embedded_postgres, start_postgres
from services.platform.healing import Healer
from services.platform.processes import Supervisor
from tests.unit.platform.eventually import eventually

pytestmark = pytest.mark.integration

RUN = """
import sys, time
from pathlib import Path
from services.platform.embedded_postgres import embedded_postgres
with embedded_postgres(Path(sys.argv[1])):
    print("up", flush=True)
    time.sleep(600)
"""


def see_reachable(url: str) -> None:
    engine = make_engine(url)
    check_reachable(engine)
    engine.dispose()


def server_pid(home: Path) -> int:
    return int((home / "postgres" / "postmaster.pid").read_text().split()[0])


def started(home: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(home)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a killed parent's children")
def test_a_server_ends_with_its_killed_parent_and_starts_again(home: Path) -> None:
    parent = started(home)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"up\n"
    server = psutil.Process(server_pid(home))
    parent.kill()
    parent.communicate()
    server.wait(60)
    with embedded_postgres(home) as url:
        see_reachable(url)


def test_a_killed_server_loses_no_commit(home: Path) -> None:
    """Not the last one either: it may be an intent, and its patch be under way."""
    with Supervisor(home) as supervisor:
        url = start_postgres(supervisor, home)
        engine = make_engine(url)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE kept (n integer)"))
        (server,) = supervisor.children()
        for n in range(3):
            with engine.begin() as connection:
                connection.execute(text("INSERT INTO kept VALUES (:n)"), {"n": n})
            server.kill()
            engine.dispose()
            supervisor.start_again(server)
            eventually(server.is_ready, "its return")
        with engine.connect() as connection:
            assert list(connection.scalars(text("SELECT n FROM kept ORDER BY n"))) == [0, 1, 2]
        engine.dispose()


def test_a_killed_server_is_seen_and_back_with_its_data(home: Path) -> None:
    lines: list[str] = []
    with Supervisor(home) as supervisor:
        engine = make_engine(start_postgres(supervisor, home))
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE kept AS SELECT 42 AS n"))
        supervisor.check()
        os.kill(server_pid(home), signal.SIGKILL)
        (server,) = supervisor.children()
        eventually(lambda: not server.is_alive(), "its end")
        with pytest.raises(Unavailable, match="process postgres was killed by SIGKILL"):
            supervisor.check()
        healer = Healer(supervisor, lines.append)

        def is_back() -> bool:
            healer.step()
            return bool(lines) and healer.is_whole()

        eventually(is_back, "its return")
        assert "postgres was killed by SIGKILL" in lines[0]
        engine.dispose()
        with engine.connect() as connection:
            assert connection.execute(text("SELECT n FROM kept")).scalar() == 42
        engine.dispose()


@pytest.mark.slow
@pytest.mark.parametrize("word", [signal.SIGINT, signal.SIGKILL])
def test_a_first_start_cut_short_leaves_nothing_or_a_whole_folder(home: Path, word: int) -> None:
    first = started(home)
    eventually(lambda: list(home.glob("harmony-*/postgres/PG_VERSION")), "a folder half made")
    first.send_signal(word)
    first.communicate(timeout=90)
    data = home / "postgres"
    assert not data.exists() or (data / "global" / "pg_control").exists()
    with embedded_postgres(home) as url:
        see_reachable(url)
    assert not list(home.glob("harmony-*"))


def test_what_an_interrupted_start_of_old_left_is_named(home: Path) -> None:
    data = home / "postgres"
    (data / "base").mkdir(parents=True)
    with (
        pytest.raises(Unavailable, match="neither empty nor a whole database"),
        embedded_postgres(home),
    ):
        pass


def test_a_server_that_nobody_looks_after_is_ended(home: Path) -> None:
    """Its starter was killed where the kernel does not end the children, and its record is lost."""
    with Supervisor(home) as supervisor:
        start_postgres(supervisor, home)
        (server,) = supervisor.children()
        pid = server_pid(home)
        with Supervisor(home / "other") as other:  # which knows nothing of the first
            url = start_postgres(other, home)
            assert not server.is_alive()
            assert server_pid(home) != pid
            see_reachable(url)


def test_a_server_of_someone_else_is_left_alone(home: Path) -> None:
    with embedded_postgres(home):
        pass
    argv = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
    foreign = subprocess.Popen([*argv, "-D", str(home / "postgres")], stdout=subprocess.PIPE)
    assert foreign.stdout is not None
    foreign.stdout.readline()
    try:
        (home / "postgres" / "postmaster.pid").write_text(f"{foreign.pid}\n")
        with pytest.raises(Unavailable, match="Harmony has not started"), embedded_postgres(home):
            pass
        assert foreign.poll() is None
    finally:
        foreign.kill()
        foreign.communicate()


def test_a_pid_file_that_names_another_program_is_no_hindrance(home: Path) -> None:
    with embedded_postgres(home):
        pass
    (home / "postgres" / "postmaster.pid").write_text(f"{os.getppid()}\n")
    with embedded_postgres(home) as url:
        see_reachable(url)


def test_a_server_that_works_is_not_stuck_and_one_without_its_processes_is(home: Path) -> None:
    with embedded_postgres(home) as url:
        see_reachable(url)
        assert not _is_stuck(server_pid(home))
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as alone:
        assert _is_stuck(alone.pid)
        alone.communicate()
    assert not _is_stuck(alone.pid)
